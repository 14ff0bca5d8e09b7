"""What an RPC's metadata says of the call, as the lower floors see it."""

import hashlib

import pytest

from service.config import KeyConfig
from service.rpc.authentication import Authenticator
from service.rpc.calls import Calls
from telemetry.metrics import Metrics

KEY = "a-key-set-by-hand-1"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class _Context:
    def __init__(self, seconds=None, **metadata):
        self._metadata = {"authorization": f"Bearer {KEY}", **metadata}
        self._seconds = seconds

    def invocation_metadata(self):
        return tuple(self._metadata.items())

    def time_remaining(self):
        return self._seconds


def _opened(seconds=None, **metadata):
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    calls = Calls(Authenticator([KeyConfig(name="demo", sha256=digest)]), lambda: 0.0, Metrics({}))
    opened = calls.open("Method", _Context(seconds, **metadata))
    calls.close(opened)
    return opened.call


async def test_a_callers_trace_goes_on():
    assert _opened(traceparent=PARENT).traceparent == PARENT


@pytest.mark.parametrize("trace", ["", "x" * 55, PARENT.upper(), PARENT + " ", PARENT * 3])
async def test_what_is_no_trace_does_not(trace):
    assert _opened(traceparent=trace).traceparent is None


async def test_no_trace_is_none():
    assert _opened().traceparent is None


@pytest.mark.parametrize(("word", "may"), [("off", False), ("OFF", False), ("on", True)])
async def test_whether_the_caller_forbids_fallback_is_known_apart_from_what_its_key_may(word, may):
    call = _opened(**{"x-llmbase-fallback": word})
    assert call.fallback is may
    assert call.may_serve("any/model") is may


async def test_what_is_left_of_the_deadline_is_known():
    assert 9 < _opened(10).seconds_left() <= 10
    assert _opened(-1).seconds_left() == 0
    assert _opened().seconds_left() is None
