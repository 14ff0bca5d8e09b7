"""When a target is left alone, for how long, and how it comes back."""

import random

import pytest

from service.config import BreakerConfig, ProviderConfig
from service.errors import FaultKind, ProviderFault
from service.routing.board import Board, Visit
from service.routing.breaker import Breaker, ErrorClass, State, classify


class _Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def _breaker(kind=ErrorClass.SERVER, **config):
    return Breaker(kind, BreakerConfig(**config), random.Random(1))


def _fault(kind=FaultKind.STATUS, **fields):
    return ProviderFault(kind, "detail", **fields)


@pytest.fixture
def clock():
    return _Clock()


@pytest.fixture
def board(clock):
    config = ProviderConfig(
        dialect="openai", base_url="http://a", breaker=BreakerConfig(failures=3)
    )
    return Board({"p": config, "q": config}, clock, random.Random(1))


def _try(target, fault=None):
    visit = Visit(target, stream=False)
    if fault is None:
        visit.answered()
    else:
        visit.failed(fault)
    visit.leave()


def test_failures_in_a_row_open_it_and_a_success_in_between_does_not():
    breaker = _breaker(failures=3)
    for outcome in (False, False, True, False, False):
        breaker.succeed() if outcome else breaker.fail(0.0)
    assert breaker.state(0.0) is State.CLOSED
    breaker.fail(0.0)
    assert breaker.state(0.0) is State.OPEN


def test_half_failing_opens_it_too():
    breaker = _breaker(failures=3)
    for _ in range(9):
        breaker.fail(0.0)
        breaker.succeed()
    assert breaker.state(0.0) is State.CLOSED
    breaker.fail(0.0)
    assert breaker.state(0.0) is State.OPEN


def test_what_succeeded_before_the_first_failure_does_not_matter():
    old, new = _breaker(), _breaker()
    for _ in range(30):
        old.succeed()
    for _ in range(9):
        for breaker in (old, new):
            breaker.fail(0.0)
            breaker.succeed()
    assert old.state(0.0) is new.state(0.0) is State.CLOSED
    old.fail(0.0)
    new.fail(0.0)
    assert old.state(0.0) is new.state(0.0) is State.OPEN


def test_after_the_pause_one_attempt_passes_and_its_success_closes_it():
    breaker = _breaker(failures=1, open=4.0)
    breaker.fail(0.0)
    assert breaker.state(1.9) is State.OPEN
    assert breaker.state(6.1) is State.HALF_OPEN
    assert breaker.enter(6.1)
    assert breaker.state(6.1) is State.OPEN, "the probe is alone"
    assert not breaker.enter(6.1)
    breaker.succeed()
    assert breaker.state(6.1) is State.CLOSED


def test_each_failed_probe_doubles_the_pause_up_to_the_longest_give_or_take_half():
    breaker = _breaker(failures=1, open=1.0, max_open=60.0)
    now, pauses = 0.0, []
    breaker.fail(now)
    for _ in range(9):
        pauses.append(breaker.until - now)
        now = breaker.until
        assert breaker.enter(now)
        breaker.fail(now)
    for i, pause in enumerate(pauses):
        usual = min(2**i, 60)
        assert usual * 0.5 <= pause <= usual * 1.5
    assert len(set(pauses)) == len(pauses)


def test_a_probe_whose_caller_left_gives_its_place_to_the_next():
    breaker = _breaker(failures=1, open=1.0)
    breaker.fail(0.0)
    assert breaker.enter(10.0)
    breaker.leave()
    assert breaker.state(10.0) is State.HALF_OPEN


def test_what_the_provider_asks_for_is_obeyed_at_the_first_failure():
    breaker = _breaker(ErrorClass.RATE_LIMIT, failures=5)
    breaker.fail(0.0, retry_after=30.0)
    assert breaker.state(29.9) is State.OPEN
    assert breaker.state(30.0) is State.HALF_OPEN
    breaker.fail(0.0, retry_after=1e9)
    assert breaker.state(3600.0) is State.HALF_OPEN, "but not for ever"


def test_a_wrong_key_closes_all_of_a_providers_targets_at_once(board, clock):
    one, other = board.target("p", "x"), board.target("p", "y")
    _try(one, _fault(status=401))
    assert (one.state(), other.state()) == (State.OPEN, State.OPEN)
    assert board.target("q", "x").state() is State.CLOSED
    clock.now += one.wait()
    assert other.state() is State.HALF_OPEN
    _try(other)
    assert one.state() is State.CLOSED


def test_a_403_is_about_its_own_target(board):
    one, other = board.target("p", "x"), board.target("p", "y")
    _try(one, _fault(status=403))
    assert (one.state(), other.state()) == (State.OPEN, State.CLOSED)


def test_kinds_of_failure_are_counted_apart(board):
    target = board.target("p", "x")
    for fault in (_fault(status=500), _fault(FaultKind.SLOW), _fault(FaultKind.CONNECT)) * 2:
        _try(target, fault)
    assert target.state() is State.CLOSED
    _try(target, _fault(FaultKind.SLOW))
    assert target.state() is State.OPEN


def test_a_refused_request_says_that_the_target_works(board):
    target = board.target("p", "x")
    for _ in range(2):
        _try(target, _fault(status=503))
    _try(target, _fault(FaultKind.REJECTED, status=400))
    _try(target, _fault(status=503))
    assert target.state() is State.CLOSED


def test_a_caller_that_leaves_says_nothing_about_the_target(board):
    target = board.target("p", "x")
    for _ in range(9):
        Visit(target, stream=True).leave()
    assert target.state() is State.CLOSED
    assert target.in_flight == 0


def test_leaving_twice_counts_once(board):
    target = board.target("p", "x")
    other = Visit(target, stream=True)
    visit = Visit(target, stream=True)
    visit.leave()
    visit.leave()
    assert target.in_flight == 1
    other.leave()


def test_a_breaker_that_is_off_never_opens(clock):
    config = ProviderConfig(
        dialect="openai", base_url="http://a", breaker=BreakerConfig(enabled=False)
    )
    target = Board({"p": config}, clock, random.Random(1)).target("p", "x")
    for _ in range(50):
        _try(target, _fault(status=401))
    assert target.state() is State.CLOSED


def test_a_new_configuration_keeps_what_is_known_of_what_did_not_change(board, clock):
    _try(board.target("p", "x"), _fault(status=401))
    _try(board.target("q", "x"), _fault(status=401))
    changed = ProviderConfig(dialect="openai", base_url="http://elsewhere")
    after = Board({"p": board._configs["p"], "q": changed}, clock, random.Random(1), board)
    assert after.target("p", "x").state() is State.OPEN
    assert after.target("q", "x").state() is State.CLOSED


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (_fault(FaultKind.CONNECT), ErrorClass.CONNECT),
        (_fault(FaultKind.SLOW), ErrorClass.SLOW),
        (_fault(status=408), ErrorClass.SLOW),
        (_fault(status=401), ErrorClass.AUTHENTICATION),
        (_fault(status=404), ErrorClass.MISSING),
        (_fault(status=429), ErrorClass.RATE_LIMIT),
        (_fault(status=500), ErrorClass.SERVER),
        (_fault(FaultKind.TRUNCATED), ErrorClass.ANSWER),
        (_fault(FaultKind.MALFORMED), ErrorClass.ANSWER),
        (_fault(FaultKind.REPORTED), ErrorClass.ANSWER),
        (_fault(FaultKind.REJECTED, status=422), None),
    ],
)
def test_every_fault_has_its_class(fault, kind):
    assert classify(fault) is kind
