"""The metrics of every process: one list of what there is, and a registry that keeps to it.

A label takes the values it was told of when the process started, and `other` for all else: what a
caller or a provider sends never makes a series.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

OTHER = "other"


class Kind(enum.Enum):
    """What can be done with a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `labels` says of each label what its values are.

    `buckets` are a histogram's upper bounds, in the unit that the name ends in. The series of a
    metric that is `announced` are there from the start, at zero: an increase that makes a series
    is none to who reads it.
    """

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    announced: bool = False


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
CONFIG_GENERATION = Metric(
    "llmbase_config_generation",
    Kind.GAUGE,
    "Configurations that this process has answered from, the one it began with among them.",
)
CONFIG_RELOADS = Metric(
    "llmbase_config_reloads_total",
    Kind.COUNTER,
    "Configuration files that were looked at because they had changed, or on SIGHUP.",
    {"result": "`applied`, or `refused`: the configuration before stays"},
    announced=True,
)
IGNORED_PARAMETERS = Metric(
    "llmbase_ignored_parameters_total",
    Kind.COUNTER,
    "Parameters of requests that were left out of what was sent to a provider.",
    {"parameter": "the request's field, by its name in REST; of a path its first step"},
)
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
)
PROVIDER_ALERTS = Metric(
    "llmbase_provider_alerts_total",
    Kind.COUNTER,
    "Attempts that a provider refused because of our credentials: somebody has to look at them.",
    {"provider": "as configured", "status": "`401` or `403`"},
    announced=True,
)
PROVIDER_UNKNOWN = Metric(
    "llmbase_provider_unknown_total",
    Kind.COUNTER,
    "What providers sent that no documentation of theirs had when llmbase was made.",
    {"provider": "as configured", "kind": "`event`, or `enum` for a word such as a finish reason"},
    announced=True,
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
RESERVATION_USED = Metric(
    "llmbase_reservation_used_ratio",
    Kind.HISTOGRAM,
    "What calls cost, of what was reserved for them: more than 1 was estimated too low.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1, 1.1, 1.5, 2, 5),
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
STORE_TRANSACTION = Metric(
    "llmbase_store_transaction_seconds",
    Kind.HISTOGRAM,
    "Transactions of the books, from their begin until they were committed.",
    {"work": "`reserve`, `settle`, `renew` or `lapse`"},
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)

REPLAYS = Metric(
    "llmbase_replays_total",
    Kind.COUNTER,
    "Calls that were answered from another call's answer.",
    {"kind": "`joined` (it was running) or `kept` (it was over)"},
)

# Everything there is; the documentation's table is checked against it.
METRICS: tuple[Metric, ...] = (
    CALLS,
    CONFIG_GENERATION,
    CONFIG_RELOADS,
    EXCESS,
    IGNORED_PARAMETERS,
    LIMITER_REFUSALS,
    LIMITER_SECONDS,
    LIMITER_AWAY,
    LAPSED,
    LEDGER_QUEUE,
    LEDGER_REFUSED,
    PROVIDER_ALERTS,
    PROVIDER_UNKNOWN,
    REPLAYS,
    RESERVATION_USED,
    SETTLEMENTS,
    SETTLEMENTS_SPOOLED,
    STORE_TRANSACTION,
)


class Metrics:
    """The metrics of one process. `known` has the values that each label may take."""

    def __init__(
        self, known: Mapping[str, Collection[str]], metrics: Sequence[Metric] = METRICS
    ) -> None:
        self._known: dict[str, frozenset[str]] = {}
        self._metrics = metrics
        self._registry = CollectorRegistry()
        self._made = {metric.name: _make(metric, self._registry) for metric in metrics}
        self.learn(known)

    def learn(self, known: Mapping[str, Collection[str]]) -> None:
        """Let labels take more values; what was known before stays, and so do its series."""
        for label, values in known.items():
            self._known[label] = self._known.get(label, frozenset()) | frozenset(values)
        for metric in self._metrics:
            if metric.announced:
                self._announce(metric)

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add to a counter. Raises KeyError for a metric that is not in the list."""
        self._series(metric, labels).inc(amount)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Give a gauge its value, in the unit of its name."""
        self._series(metric, labels).set(value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add a value to a histogram, in the unit of its name."""
        self._series(metric, labels).observe(value)

    def observe_ratio(self, metric: Metric, part: int, whole: int) -> None:
        """Add a share to a histogram: money is a float here alone, where it is none any more."""
        self.observe(metric, part / whole)

    def render(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(_WithoutBirths(self._registry))

    def _series(self, metric: Metric, labels: Mapping[str, str]) -> Any:
        made = self._made[metric.name]
        if not metric.labels:
            return made
        return made.labels(**{label: self._bounded(label, labels[label]) for label in labels})

    def _bounded(self, label: str, value: str) -> str:
        return value if value in self._known.get(label, ()) else OTHER

    def _announce(self, metric: Metric) -> None:
        values = (sorted(self._known.get(label, ())) for label in metric.labels)
        for combination in itertools.product(*values):
            self._series(metric, dict(zip(metric.labels, combination, strict=True)))


def count_ignored(metrics: Metrics, paths: Iterable[str]) -> None:
    """Count the fields of one request that were left out, each by its path's first step, once."""
    for name in {path.partition(".")[0].partition("[")[0] for path in paths}:
        metrics.count(IGNORED_PARAMETERS, parameter=name)


class _WithoutBirths(Collector):
    """A registry without the times at which series began: they double the page for nobody."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
            yield family


def _make(metric: Metric, registry: CollectorRegistry) -> Any:
    labels = tuple(metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        return Histogram(
            metric.name, metric.help, labels, buckets=metric.buckets, registry=registry
        )
    kind = Counter if metric.kind is Kind.COUNTER else Gauge
    return kind(metric.name, metric.help, labels, registry=registry)
