"""The one list of the metrics of every process. What is not in it cannot be counted.

What the help says is what the documentation, the dashboard and the page say. Times of streams are
observed once, at their end: a chunk costs additions alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence

from telemetry.metric import Kind, Metric
from telemetry.registry import Registry

_MODEL = {
    "model": "the model that was asked for, by the configuration's name; unknown ones `other`"
}
_PROVIDER = {"provider": "as configured"}
_SHORT = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
_LONG = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20, 30, 60)

# Calls.

CALLS = Metric(
    "llmbase_calls_total",
    Kind.COUNTER,
    "RPCs that have ended, the REST door's among them.",
    {
        "method": "the RPC, such as `StreamChatCompletion`",
        "reason": "`OK`, `CANCELLED` (the caller left) or the reason of the error",
    },
    announced=True,
)
MODEL_CALLS = Metric(
    "llmbase_model_calls_total",
    Kind.COUNTER,
    "Chat calls that have ended, by the model that they asked for.",
    {**_MODEL, "reason": "as of `llmbase_calls_total`"},
)
CALL_SECONDS = Metric(
    "llmbase_call_seconds",
    Kind.HISTOGRAM,
    "Chat calls that were answered, from their begin to their end.",
    {"method": "`CreateChatCompletion` or `StreamChatCompletion`"},
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600),
)
FIRST_CONTENT = Metric(
    "llmbase_first_content_seconds",
    Kind.HISTOGRAM,
    "Streams, from the begin of the call until their first content was there to be sent.",
    _MODEL,
    _LONG,
)
CHUNK_GAP = Metric(
    "llmbase_chunk_gap_seconds",
    Kind.HISTOGRAM,
    "The usual time between two chunks of a whole stream: one value for each stream.",
    _MODEL,
    (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5),
)
OVERHEAD = Metric(
    "llmbase_overhead_seconds",
    Kind.HISTOGRAM,
    "What calls took until their first content, or whole answer, without the time in the queue and "
    "at providers: the time that is ours.",
    {"method": "`CreateChatCompletion` or `StreamChatCompletion`"},
    _SHORT,
)
ACTIVE_STREAMS = Metric(
    "llmbase_active_streams",
    Kind.GAUGE,
    "Streams that are open, those that wait for their first content among them.",
)
IN_FLIGHT = Metric(
    "llmbase_in_flight_calls",
    Kind.GAUGE,
    "Chat calls that have a place: `admission.max_in_flight` bounds them.",
)
IN_FLIGHT_LIMIT = Metric(
    "llmbase_in_flight_limit",
    Kind.GAUGE,
    "Places for chat calls: `admission.max_in_flight`.",
)
QUEUED = Metric(
    "llmbase_queued_calls",
    Kind.GAUGE,
    "Chat calls that wait for a place.",
    {"priority": "`interactive` or `batch`"},
)
QUEUE_SECONDS = Metric(
    "llmbase_queue_seconds",
    Kind.HISTOGRAM,
    "How long chat calls waited for a place; those that found one free are in it, with next to "
    "nothing.",
    {"priority": "`interactive` or `batch`"},
    (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REPLAYS = Metric(
    "llmbase_replays_total",
    Kind.COUNTER,
    "Calls that were answered from another call's answer.",
    {"kind": "`joined` (it was running) or `kept` (it was over)"},
)
IGNORED_PARAMETERS = Metric(
    "llmbase_ignored_parameters_total",
    Kind.COUNTER,
    "Parameters of requests that were left out of what was sent to a provider.",
    {"parameter": "the request's field, by its name in REST; of a path its first step"},
)

# Providers.

ATTEMPTS = Metric(
    "llmbase_attempts_total",
    Kind.COUNTER,
    "Attempts at providers that have ended. Those that were never sent are not among them.",
    {
        **_PROVIDER,
        "purpose": "`original`, `repeat` (its provider was asked before), `hedge` (beside a slow "
        "one) or `continuation` (of a stream that broke)",
        "outcome": "`answered`, `lost` (another was faster), `cancelled` (the caller left, or its "
        "time was over) or the fault: `connect`, `slow`, `status`, `rejected`, `truncated`, "
        "`malformed` or `reported`",
    },
)
FALLBACKS = Metric(
    "llmbase_fallbacks_total",
    Kind.COUNTER,
    "Calls that another model answered than they had asked for.",
    _MODEL,
)
BREAKERS = Metric(
    "llmbase_breaker_targets",
    Kind.GAUGE,
    "Targets that have been asked, by the worst state of their breakers.",
    {**_PROVIDER, "state": "`closed`, `half_open` or `open`: it is passed over"},
)
RETRY_BUDGET = Metric(
    "llmbase_retry_budget_level",
    Kind.GAUGE,
    "Repeats and hedges that a provider may be sent now: 10 at most, a tenth for each original.",
    _PROVIDER,
)
PROVIDER_ALERTS = Metric(
    "llmbase_provider_alerts_total",
    Kind.COUNTER,
    "Attempts that a provider refused because of our credentials: somebody has to look at them.",
    {**_PROVIDER, "status": "`401` or `403`"},
    announced=True,
)
PROVIDER_UNKNOWN = Metric(
    "llmbase_provider_unknown_total",
    Kind.COUNTER,
    "What providers sent that no documentation of theirs had when llmbase was made.",
    {**_PROVIDER, "kind": "`event`, or `enum` for a word such as a finish reason"},
    announced=True,
)

# Tokens and money.

TOKENS = Metric(
    "llmbase_tokens_total",
    Kind.COUNTER,
    "Tokens that answered calls have used, as they are paid for: by estimate where no provider "
    "said. No token is in two classes.",
    {
        **_MODEL,
        "token_class": "`input`, `cache_read`, `cache_write`, `output` or `reasoning`",
    },
)
CHARGED = Metric(
    "llmbase_charged_nanodollars_total",
    Kind.COUNTER,
    "What accounts have been charged for calls.",
    _MODEL,
)
PROVIDER_COST = Metric(
    "llmbase_provider_cost_nanodollars_total",
    Kind.COUNTER,
    "What attempts cost us at their providers, as far as prices are known: those that nobody is "
    "charged for among them.",
    _PROVIDER,
)
RESERVATIONS = Metric(
    "llmbase_reservations",
    Kind.GAUGE,
    "Calls that this process holds money for, until the store has what they cost.",
)
RESERVATION_USED = Metric(
    "llmbase_reservation_used_ratio",
    Kind.HISTOGRAM,
    "What calls cost, of what was reserved for them: more than 1 was estimated too low.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1, 1.1, 1.5, 2, 5),
)
EXCESS = Metric(
    "llmbase_excess_nanodollars_total",
    Kind.COUNTER,
    "What calls cost beyond what was reserved for them: nobody is charged for it.",
)
LAPSED = Metric(
    "llmbase_reservations_lapsed_total",
    Kind.COUNTER,
    "Reservations that nobody renewed for ten minutes: their process has died.",
)
SETTLEMENTS = Metric(
    "llmbase_settlements_total",
    Kind.COUNTER,
    "Calls that were written into the ledger.",
)
SETTLEMENTS_SPOOLED = Metric(
    "llmbase_settlements_spooled_total",
    Kind.COUNTER,
    "Settlements and releases that were put on disk, because the store was away or too slow.",
)
LEDGER_QUEUE = Metric(
    "llmbase_ledger_queue",
    Kind.GAUGE,
    "Settlements and releases that wait for the store, those in the spool not among them.",
)
LEDGER_REFUSED = Metric(
    "llmbase_ledger_refused_total",
    Kind.COUNTER,
    "Settlements that the store cannot take (no such account): kept in the spool's directory.",
)
STORE_TRANSACTION = Metric(
    "llmbase_store_transaction_seconds",
    Kind.HISTOGRAM,
    "Transactions of the books, from their begin until they were committed.",
    {"work": "`reserve`, `settle`, `renew` or `lapse`"},
    (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)

# Limits.

LIMITER_REFUSALS = Metric(
    "llmbase_limiter_refusals_total",
    Kind.COUNTER,
    "Calls that were refused because a limit of their account or key was met.",
    {"limit": "`account_active`, `active` (the key's), `requests` or `tokens` (per minute)"},
    announced=True,
)
LIMITER_SECONDS = Metric(
    "llmbase_limiter_seconds",
    Kind.HISTOGRAM,
    "How long calls waited for the shared limiter's answer, or for none.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0),
)
LIMITER_AWAY = Metric(
    "llmbase_limiter_away",
    Kind.GAUGE,
    "1 while the shared limiter is left alone because it did not answer, else 0.",
    shared=True,
)

# Configuration.

CONFIG_GENERATION = Metric(
    "llmbase_config_generation",
    Kind.GAUGE,
    "Configurations that this process has answered from, the one it began with among them.",
    shared=True,
)
CONFIG_RELOADS = Metric(
    "llmbase_config_reloads_total",
    Kind.COUNTER,
    "Configuration files that were looked at because they had changed, or on SIGHUP.",
    {"result": "`applied`, or `refused`: the configuration before stays"},
    announced=True,
)

# The REST door.

HTTP_REQUESTS = Metric(
    "llmbase_http_requests_total",
    Kind.COUNTER,
    "Requests at the REST door that have been answered; a stream counts when it has ended.",
    {
        "route": "the path, as it is documented; `other` for one that leads nowhere",
        "code": "the status; `499` where the client left",
    },
)
HTTP_ACTIVE_STREAMS = Metric(
    "llmbase_http_active_streams",
    Kind.GAUGE,
    "Streams that are open at the REST door.",
)
HTTP_OVERHEAD = Metric(
    "llmbase_http_overhead_seconds",
    Kind.HISTOGRAM,
    "What the REST door itself took for a chat: from its body to the call, and from the first of "
    "the answer until it was written.",
    {"form": "`whole` or `stream`"},
    _SHORT,
)

# Everything there is, by what it is about; documentation and dashboard follow it.
SECTIONS: Mapping[str, tuple[Metric, ...]] = {
    "Calls": (
        CALLS,
        MODEL_CALLS,
        CALL_SECONDS,
        FIRST_CONTENT,
        CHUNK_GAP,
        OVERHEAD,
        ACTIVE_STREAMS,
        IN_FLIGHT,
        IN_FLIGHT_LIMIT,
        QUEUED,
        QUEUE_SECONDS,
        REPLAYS,
        IGNORED_PARAMETERS,
    ),
    "Providers": (
        ATTEMPTS,
        FALLBACKS,
        BREAKERS,
        RETRY_BUDGET,
        PROVIDER_ALERTS,
        PROVIDER_UNKNOWN,
    ),
    "Tokens and money": (
        TOKENS,
        CHARGED,
        PROVIDER_COST,
        RESERVATIONS,
        RESERVATION_USED,
        EXCESS,
        LAPSED,
        SETTLEMENTS,
        SETTLEMENTS_SPOOLED,
        LEDGER_QUEUE,
        LEDGER_REFUSED,
        STORE_TRANSACTION,
    ),
    "Limits": (LIMITER_REFUSALS, LIMITER_SECONDS, LIMITER_AWAY),
    "Configuration": (CONFIG_GENERATION, CONFIG_RELOADS),
    "REST door": (HTTP_REQUESTS, HTTP_ACTIVE_STREAMS, HTTP_OVERHEAD),
}
METRICS: tuple[Metric, ...] = tuple(itertools.chain.from_iterable(SECTIONS.values()))

# What a gateway that stands alone has.
OF_THE_DOOR: tuple[Metric, ...] = (*SECTIONS["REST door"], IGNORED_PARAMETERS)
# What a service that stands alone has.
OF_THE_SERVICE = tuple(metric for metric in METRICS if metric not in SECTIONS["REST door"])


class Metrics(Registry):
    """The metrics of one process: all of the list, unless it is one that has fewer."""

    def __init__(
        self, known: Mapping[str, Collection[str]], metrics: Sequence[Metric] = METRICS
    ) -> None:
        super().__init__(known, metrics)


def count_ignored(metrics: Metrics, paths: Iterable[str]) -> None:
    """Count the fields of one request that were left out, each by its path's first step, once."""
    for name in {path.partition(".")[0].partition("[")[0] for path in paths}:
        metrics.count(IGNORED_PARAMETERS, parameter=name)
