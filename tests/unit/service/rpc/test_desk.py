"""What a call takes before it is worked on is given back, once, wherever it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.accounts.caller import Caller, Limits, allowing
from service.admission.admission import Admission
from service.admission.priority import Priority
from service.errors import InsufficientBalance, RateLimitExceeded, ServiceUnavailable
from service.providers import estimate
from service.providers.call import Call
from service.providers.seen import Seen
from service.rpc.desk import Desk
from telemetry.metrics import Metrics

UNLIMITED = Caller("demo", "static/demo", allowing(("*",)))
CALLER = replace(UNLIMITED, limits=Limits(tokens_per_minute=1000))
REQUEST = pb.ChatCompletionRequest(model="m", max_tokens=10)


class _Lease:
    def __init__(self):
        self.headers = (("x-ratelimit-limit-requests", "7"),)
        self.left = []

    def leave(self, tokens_used):
        self.left.append(tokens_used)


class _Limiter:
    """`asks`: somebody has to be asked."""

    def __init__(self, error=None, *, asks=False):
        self.error = error
        self.asks = asks
        self.leases = []
        self.tokens = []

    def enter_at_once(self, caller, tokens):
        return None if self.asks else self._entered(tokens)

    async def enter(self, caller, tokens):
        await asyncio.sleep(0)
        return self._entered(tokens)

    def _entered(self, tokens):
        if self.error is not None:
            raise self.error
        self.tokens.append(tokens)
        self.leases.append(_Lease())
        return self.leases[-1]


class _Charge:
    def __init__(self, *, pays):
        self.pays = pays
        self.closed = 0
        self.tokens = 12

    def close(self):
        self.closed += 1


class _Books:
    """With an error: it is what whoever pays is told."""

    def __init__(self, error=None):
        self.error = error
        self.charges = []

    def open(self, *_):
        self.charges.append(_Charge(pays=self.error is not None))
        return self.charges[-1]

    async def hold(self, *_):
        raise self.error


class _Router:
    def model(self, model_id):
        return None


class _Generation:
    prices = None
    router = _Router()


def _parts(limiter=None, books=None, places=1):
    limiter, books = limiter or _Limiter(), books or _Books()
    admission = Admission(places, 1, lambda: 0.0)
    desk = Desk(limiter, admission, books, lambda: 0.0, Metrics({}))
    return limiter, admission, books, desk


class _Asking:
    """Who asks, and is told what is left."""

    def __init__(self, caller=CALLER):
        self.caller = caller
        self.priority = Priority.INTERACTIVE
        self.most_output = REQUEST.max_tokens
        self.headers = ()


async def _take(desk, *, pays=True, asking=None, call=None):
    payer = _Generation() if pays else None
    return await desk.take(asking or _Asking(), call or Call("r"), REQUEST, payer)


def _seen():
    call = Call("r")
    call.seen = Seen(REQUEST)
    return call


async def test_everything_is_taken_and_given_back_once():
    limiter, admission, books, desk = _parts()
    asking = _Asking()
    holding = await _take(desk, asking=asking)
    assert asking.headers == (("x-ratelimit-limit-requests", "7"),)
    assert admission.in_flight == 1
    assert limiter.tokens[0] >= 10, "the answer's tokens are not counted"
    holding.close()
    holding.close()
    assert admission.in_flight == 0
    assert limiter.leases[0].left == [12]
    assert books.charges[0].closed == 1


async def test_a_limiter_that_has_to_ask_is_waited_for():
    limiter, admission, _, desk = _parts(_Limiter(asks=True))
    holding = await _take(desk)
    assert (admission.in_flight, len(limiter.leases)) == (1, 1)
    holding.close()
    assert (admission.in_flight, limiter.leases[0].left) == (0, [12])


@pytest.mark.parametrize("asks", [False, True])
async def test_a_call_that_is_over_takes_nothing(asks):
    limiter, admission, books, desk = _parts(_Limiter(asks=asks))
    call = Call("r")
    call.wait.end(ServiceUnavailable("over"))
    with pytest.raises(ServiceUnavailable):
        await _take(desk, call=call)
    assert (limiter.leases, admission.in_flight, books.charges) == ([], 0, [])


async def test_what_was_seen_of_a_request_is_kept_unless_it_has_to_wait():
    limiter, admission, _, desk = _parts()
    served, queued = _seen(), _seen()
    holding = await _take(desk, call=served)
    waiting = asyncio.create_task(_take(desk, call=queued))
    await asyncio.sleep(0)
    assert admission.queued == 1
    assert served.seen is not None
    assert queued.seen is None
    assert limiter.tokens[0] == limiter.tokens[1]
    holding.close()
    (await waiting).close()


async def test_tokens_are_not_estimated_for_who_has_no_limit_of_them(monkeypatch):
    monkeypatch.setattr(estimate, "prompt_tokens", None)
    limiter, _, _, desk = _parts()
    holding = await _take(desk, asking=_Asking(UNLIMITED))
    holding.close()
    assert limiter.tokens == [0]


async def test_a_call_that_another_pays_holds_no_money():
    limiter, _, books, desk = _parts()
    holding = await _take(desk, pays=False)
    holding.close()
    assert books.charges == []
    assert limiter.leases[0].left == [0]


async def test_who_is_over_a_limit_takes_no_place():
    error = RateLimitExceeded("too many")
    _, admission, books, desk = _parts(_Limiter(error))
    with pytest.raises(RateLimitExceeded):
        await _take(desk)
    assert (admission.in_flight, books.charges) == (0, [])


async def test_who_has_no_money_gives_the_rest_back():
    limiter, admission, _, desk = _parts(books=_Books(InsufficientBalance("none")))
    with pytest.raises(InsufficientBalance):
        await _take(desk)
    assert admission.in_flight == 0
    assert limiter.leases[0].left == [0]


async def test_who_leaves_the_queue_gives_its_limits_back():
    limiter, admission, books, desk = _parts()
    first = await _take(desk)
    waiting = asyncio.create_task(_take(desk))
    await asyncio.sleep(0)
    assert admission.queued == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert limiter.leases[1].left == [0]
    first.close()
    assert (admission.in_flight, len(books.charges)) == (0, 1)


async def test_a_drain_sends_those_who_wait_away():
    limiter, _, _, desk = _parts()
    first = await _take(desk)
    waiting = asyncio.create_task(_take(desk))
    await asyncio.sleep(0)
    desk.dismiss(lambda: ServiceUnavailable("over"))
    with pytest.raises(ServiceUnavailable):
        await waiting
    assert limiter.leases[1].left == [0]
    first.close()
