"""Deciding again: from a configuration's models and a trace alone, what was decided for a call."""

from __future__ import annotations

from collections import Counter

from llmbase.v1.routing_pb2 import RouteAttemptKind, RouteVerdict

from service.routing import gate, policy
from service.routing.policy import Standing

TAKEN = RouteVerdict.ROUTE_VERDICT_TAKEN
UNSEEN = RouteVerdict.ROUTE_VERDICT_UNSPECIFIED
# What depends on the request and on who asks, which a trace does not tell anybody.
TOLD = {
    RouteVerdict.ROUTE_VERDICT_PARAMETERS,
    RouteVerdict.ROUTE_VERDICT_CAPABILITY,
    RouteVerdict.ROUTE_VERDICT_FORBIDDEN,
}
_MAX_ATTEMPTS = RouteVerdict.ROUTE_VERDICT_MAX_ATTEMPTS
_HEDGE = RouteAttemptKind.ROUTE_ATTEMPT_KIND_HEDGE
_REPEAT = RouteAttemptKind.ROUTE_ATTEMPT_KIND_REPEAT
_ORIGINAL = RouteAttemptKind.ROUTE_ATTEMPT_KIND_ORIGINAL


def check(models, trace):
    """Decide all of a call again; raises AssertionError where that is not what the trace says."""
    asked = list(dict.fromkeys(row.model for row in trace.candidates))
    requested = trace.requested_model
    assert asked == [requested, *models[requested].fallbacks][: len(asked)]
    for name in asked:
        rows = [row for row in trace.candidates if row.model == name]
        if rows[0].HasField("standing"):
            _check_model(models[name], rows, trace)
    _check_attempts(trace)


def _check_model(model, rows, trace):
    assert _listed(rows, len(model.targets)) == _order(model, rows, trace)
    taken, most = 0, model.max_attempts or len(model.targets)
    for row in rows:
        taken += row.verdict == TAKEN
    assert taken <= most
    for row in rows:
        if row.verdict == _MAX_ATTEMPTS:
            assert taken == most
        elif row.verdict not in TOLD | {UNSEEN}:
            assert gate.decided(row.gate, model, model.targets[row.listed]) == row.verdict


def _listed(rows, targets):
    return [row.listed for row in rows[:targets]]


def _order(model, rows, trace):
    rows = sorted(rows[: len(model.targets)], key=lambda row: row.listed)
    unable = [row.listed for row in rows if not row.standing.available]
    able = [row for row in rows if row.standing.available]
    if not able:
        return unable
    standings = [_standing(model.targets[row.listed], row.standing) for row in able]
    session = trace.session if trace.HasField("session") and model.affinity else None
    order = policy.order(model.policy, standings, trace.draw, session)
    return unable + [able[i].listed for i in order]


def _standing(target, found):
    return Standing(
        name=f"{target.provider}/{target.model or ''}",
        weight=found.weight,
        current_weight=found.current_weight,
        price=found.price_nanos if found.HasField("price_nanos") else None,
        in_flight=found.in_flight,
        first_content=found.first_content if found.HasField("first_content") else None,
    )


def _check_attempts(trace):
    """What was tried is what was taken, each for the reason that its place among them gives."""
    if trace.attempts:
        rows = {i for i, row in enumerate(trace.candidates) if row.verdict == TAKEN}
        tried = {it.candidate for it in trace.attempts}
        assert tried <= rows
        assert len(tried) == len(trace.attempts)
        assert len(rows - tried) <= 1, "but for one for which the call's time ran out"
    asked = Counter()
    before = None
    for attempt in trace.attempts:
        row = trace.candidates[attempt.candidate]
        again, hedge = asked[row.provider] > 0, attempt.kind == _HEDGE
        probe = bool(asked) and row.gate.breaker == "half_open"
        assert row.gate.charged == (again or hedge or probe)
        assert row.gate.hedge == hedge
        if hedge:
            alone = attempt.start_ms - before.start_ms
            assert alone >= before.hedge_after_ms - 1 > 0, "each is rounded"
        else:
            assert attempt.kind == (_REPEAT if again else _ORIGINAL)
        asked[row.provider] += 1
        before = attempt
