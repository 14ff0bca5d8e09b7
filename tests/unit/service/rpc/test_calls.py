"""What an RPC's metadata says of the call, as the lower floors see it."""

import asyncio

import pytest

from service.accounts.local_limits import LocalLimiter
from service.admission.admission import Admission
from service.errors import InvalidApiKey
from service.rpc.calls import Calls
from service.rpc.desk import Desk
from telemetry.metrics import Metrics
from tests.unit.service.rpc.generations import KEY, FakeGeneration, current

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class _Context:
    def __init__(self, seconds=None, **metadata):
        self._metadata = {"authorization": f"Bearer {KEY}", **metadata}
        self._seconds = seconds

    def invocation_metadata(self):
        return tuple(self._metadata.items())

    def auth_context(self):
        return {}

    def time_remaining(self):
        return self._seconds


def _desk():
    limiter = LocalLimiter(lambda: 0, Metrics({}))
    return Desk(limiter, Admission(10, 0, lambda: 0.0), None, lambda: 0.0, Metrics({}))


async def _opened(seconds=None, **metadata):
    calls = Calls(current(), lambda: 0.0, Metrics({}), _desk())
    opened = await calls.open("Method", _Context(seconds, **metadata))
    calls.close(opened)
    return opened.call


async def test_a_callers_trace_goes_on():
    assert (await _opened(traceparent=PARENT)).trace == (PARENT, "")
    with_state = await _opened(traceparent=PARENT, tracestate="vendor=1")
    assert with_state.trace == (PARENT, "vendor=1")


@pytest.mark.parametrize("trace", ["", "x" * 55, PARENT.upper(), PARENT + " ", PARENT * 3])
async def test_what_is_no_trace_does_not(trace):
    assert (await _opened(traceparent=trace)).trace is None


async def test_no_trace_is_none():
    assert (await _opened()).trace is None


@pytest.mark.parametrize(("word", "may"), [("off", False), ("OFF", False), ("on", True)])
async def test_whether_the_caller_forbids_fallback_is_known_apart_from_what_its_key_may(word, may):
    call = await _opened(**{"x-llmbase-fallback": word})
    assert call.fallback is may
    assert call.may_serve("any/model") is may


async def test_what_is_left_of_the_deadline_is_known():
    assert 9 < (await _opened(10)).seconds_left() <= 10
    assert (await _opened(-1)).seconds_left() == 0
    assert (await _opened()).seconds_left() is None


async def test_a_call_holds_the_generation_it_began_with_until_it_is_closed():
    now = current()
    calls = Calls(now, lambda: 0.0, Metrics({}), _desk())
    before, after = now.generation, FakeGeneration(key="another-key-0123456789")
    opened = await calls.open("Method", _Context())
    now.generation = after
    assert opened.generation is before
    assert (before.holders, after.holders) == (1, 0)
    with pytest.raises(InvalidApiKey):
        await calls.open("Method", _Context())
    calls.close(opened)
    assert (before.holders, after.holders) == (0, 0)


class _SlowStore:
    """Knows nobody, or who calls, once it has been asked for long enough."""

    def __init__(self, known):
        self.authenticator = known
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def look_up(self, *given):
        self.asked.set()
        await self.answers.wait()
        return await self.authenticator.caller(*given)


@pytest.mark.parametrize("ends", ["known", "unknown", "cancelled"])
async def test_a_generation_is_held_while_a_callers_key_is_looked_up(ends):
    now = current()
    calls, before = Calls(now, lambda: 0.0, Metrics({}), _desk()), now.generation
    before.authenticator = store = _SlowStore(before.authenticator)
    key = "a-key-that-is-wrong" if ends == "unknown" else KEY
    opening = asyncio.create_task(calls.open("Method", _Context(authorization=f"Bearer {key}")))
    await store.asked.wait()
    now.generation = FakeGeneration()  # a reload, which closes what nobody holds
    assert before.holders == 1
    if ends == "cancelled":
        opening.cancel()
    store.answers.set()
    if ends == "known":
        calls.close(await opening)
    else:
        with pytest.raises(InvalidApiKey if ends == "unknown" else asyncio.CancelledError):
            await opening
    assert before.holders == 0


async def test_who_only_looks_holds_nothing_and_is_known_unless_models_are_public():
    now = current()
    calls = Calls(now, lambda: 0.0, Metrics({}), _desk())
    generation, caller = await calls.visit(_Context())
    assert (generation.holders, caller.name) == (0, "demo")
    with pytest.raises(InvalidApiKey):
        await calls.visit(_Context(authorization="Bearer wrong"))
    now.generation = FakeGeneration(public_models=True)
    assert await calls.visit(_Context(authorization="Bearer wrong")) == (now.generation, None)


async def test_who_asks_about_accounts_is_known_even_where_models_are_public():
    public = current(public_models=True)
    calls = Calls(public, lambda: 0.0, Metrics({}), _desk())
    assert (await calls.known(_Context())).name == "demo"
    with pytest.raises(InvalidApiKey):
        await calls.known(_Context(authorization="Bearer a-key-that-is-wrong"))
