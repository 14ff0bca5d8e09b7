"""The server's half of a call that is over is let go of at once, and its request with it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

import relay.server_session
from relay.served_call import ServedCall
from tests.unit.channel.doors import text_of, texts
from tests.unit.relay.pipes import outcome, relayed, settled


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[ServedCall]]]:
    """Weak references to all that are made, while nothing is collected."""
    made: list[weakref.ref[ServedCall]] = []

    def make(*arguments: Any) -> ServedCall:
        call = ServedCall(*arguments)
        made.append(weakref.ref(call))
        return call

    monkeypatch.setattr(relay.server_session, "ServedCall", make)
    gc.collect()
    gc.disable()
    yield made
    gc.enable()


@pytest.mark.parametrize("how", ["answer", "stream", "cancel"])
async def test_a_call_that_is_over_is_not_kept(
    how: str, served: list[weakref.ref[ServedCall]]
) -> None:
    async def echo(request: StringValue, context: Any) -> StringValue:
        return request

    async def listen(request: StringValue, context: Any) -> None:
        for word in ("one", "two"):
            await context.write(text_of(word))

    async with relayed(ask=echo, listen=listen) as both:
        if how == "stream":
            assert await texts(both.listen()) == ["one", "two"]
        else:
            call = both.ask()
            if how == "cancel":
                call.cancel()
            await outcome(call)
            del call
        await settled()
        assert [it() for it in served] == [None]
