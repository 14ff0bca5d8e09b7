"""One case for each alert: series with which it fires, and nearly the same with which it does not.

Values are promtool's: `0+3x20` is 0, 3, 6 and so on, one for each minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """After `minutes` the series `fires` have the alert fire, with `labels`; `quiet` do not."""

    alert: str
    fires: dict[str, str]
    quiet: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    minutes: int = 20


def _histogram(name: str, labels: str, low: str, high: str, *, slow: bool) -> dict[str, str]:
    """A histogram whose values are all in the bucket that ends at `high`, or up to `low`."""
    given = f"{labels}," if labels else ""
    return {
        f'{name}_bucket{{{given}le="{low}"}}': "0x60" if slow else "0+60x60",
        f'{name}_bucket{{{given}le="{high}"}}': "0+60x60",
        f'{name}_bucket{{{given}le="+Inf"}}': "0+60x60",
    }


def _slow(alert: str, name: str, low: str, high: str, minutes: int = 40, **labels: str) -> Case:
    written = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return Case(
        alert,
        _histogram(name, written, low, high, slow=True),
        _histogram(name, written, low, high, slow=False),
        labels,
        minutes,
    )


_CALLS = "llmbase_calls_total"
_HTTP = "llmbase_http_requests_total"
_ATTEMPTS = "llmbase_attempts_total"

CASES = (
    Case("LlmbaseAbsent", {"up": "1x60"}, {"llmbase_config_generation": "1x60"}),
    Case(
        "LlmbaseFault",
        {f'{_CALLS}{{reason="INTERNAL_ERROR"}}': "0x15 1x45"},
        {f'{_CALLS}{{reason="INTERNAL_ERROR"}}': "1x60"},
    ),
    Case(
        "LlmbaseCallsFail",
        {
            f'{_CALLS}{{reason="OK"}}': "0+90x60",
            f'{_CALLS}{{reason="UPSTREAM_STALLED"}}': "0+10x60",
        },
        {
            f'{_CALLS}{{reason="OK"}}': "0+90x60",
            f'{_CALLS}{{reason="UPSTREAM_STALLED"}}': "0+4x60",
            f'{_CALLS}{{reason="INVALID_REQUEST"}}': "0+90x60",
        },
    ),
    Case(
        "LlmbaseDoorFails",
        {f'{_HTTP}{{code="200"}}': "0+90x60", f'{_HTTP}{{code="503"}}': "0+10x60"},
        {
            f'{_HTTP}{{code="200"}}': "0+90x60",
            f'{_HTTP}{{code="404"}}': "0+90x60",
            f'{_HTTP}{{code="503",route="/readyz"}}': "0+90x60",
        },
    ),
    Case(
        "LlmbaseProviderFails",
        {
            f'{_ATTEMPTS}{{provider="a",outcome="answered"}}': "0+4x60",
            f'{_ATTEMPTS}{{provider="a",outcome="status"}}': "0+6x60",
        },
        {
            f'{_ATTEMPTS}{{provider="a",outcome="answered"}}': "0+6x60",
            f'{_ATTEMPTS}{{provider="a",outcome="status"}}': "0+4x60",
            f'{_ATTEMPTS}{{provider="a",outcome="rejected"}}': "0+90x60",
        },
        {"provider": "a"},
    ),
    Case(
        "LlmbaseBreakerOpen",
        {'llmbase_breaker_targets{provider="a",state="open"}': "1x60"},
        {'llmbase_breaker_targets{provider="a",state="open"}': "1x5 0x5 1x50"},
        {"provider": "a"},
    ),
    Case(
        "LlmbaseRetryBudgetEmpty",
        {'llmbase_retry_budget_level{provider="a"}': "0.5x60"},
        {'llmbase_retry_budget_level{provider="a"}': "1x60"},
        {"provider": "a"},
    ),
    Case(
        "LlmbaseProviderRefusesOurKey",
        {'llmbase_provider_alerts_total{provider="a",status="401"}': "0x15 1x45"},
        {'llmbase_provider_alerts_total{provider="a",status="401"}': "1x60"},
        {"provider": "a", "status": "401"},
    ),
    Case(
        "LlmbaseProviderSaysUnknown",
        {'llmbase_provider_unknown_total{provider="a",kind="enum"}': "0x15 1x45"},
        {'llmbase_provider_unknown_total{provider="a",kind="enum"}': "1x60"},
        {"provider": "a", "kind": "enum"},
    ),
    Case(
        "LlmbaseFull",
        {"llmbase_in_flight_calls": "95x60", "llmbase_in_flight_limit": "100x60"},
        {"llmbase_in_flight_calls": "90x60", "llmbase_in_flight_limit": "100x60"},
    ),
    _slow("LlmbaseCallsWait", "llmbase_queue_seconds", "1", "5", priority="interactive"),
    _slow("LlmbaseFirstContentSlow", "llmbase_first_content_seconds", "20", "60", model="m"),
    _slow("LlmbaseOverheadHigh", "llmbase_overhead_seconds", "0.1", "1"),
    Case(
        "LlmbaseStoreAway",
        {'llmbase_settlements_spooled_total{instance="i"}': "0+5x60"},
        {'llmbase_settlements_spooled_total{instance="i"}': "0x10 5x50"},
        {"instance": "i"},
    ),
    _slow("LlmbaseStoreSlow", "llmbase_store_transaction_seconds", "1", "5", work="settle"),
    Case(
        "LlmbaseLedgerBehind",
        {"llmbase_ledger_queue": "6000x60"},
        {"llmbase_ledger_queue": "5000x60"},
    ),
    Case(
        "LlmbaseLedgerRefused",
        {"llmbase_ledger_refused_total": "0x15 1x45"},
        {"llmbase_ledger_refused_total": "1x60"},
    ),
    Case(
        "LlmbaseReservationsLapsed",
        {"llmbase_reservations_lapsed_total": "0x15 1x45"},
        {"llmbase_reservations_lapsed_total": "1x60"},
    ),
    Case(
        "LlmbaseExcess",
        {
            "llmbase_excess_nanodollars_total": "0+2x120",
            "llmbase_charged_nanodollars_total": "0+100x120",
        },
        {
            "llmbase_excess_nanodollars_total": "0+1x120",
            "llmbase_charged_nanodollars_total": "0+150x120",
        },
        minutes=90,
    ),
    Case("LlmbaseLimiterAway", {"llmbase_limiter_away": "1x60"}, {"llmbase_limiter_away": "0x60"}),
    Case(
        "LlmbaseConfigRefused",
        {'llmbase_config_reloads_total{result="refused"}': "0x15 1x45"},
        {'llmbase_config_reloads_total{result="applied"}': "0x15 1x45"},
    ),
)
