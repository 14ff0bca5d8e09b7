"""Answers that are not read: callers who begin a stream and stop, providers who would go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import event
from tests.support.proto_request import proto_request
from tests.support.rest_door import PATH, RestDoor
from tests.support.scripted_upstream import Exchange
from tests.support.scripts import Exchange as Answering

_DELTA = {"index": 0, "delta": {"content": "x" * 65_536}, "finish_reason": None}
_BLOCK = event({"id": "1", "created": 1, "model": "m", "choices": [_DELTA]})


class Flood:
    """A step that sends more than all buffers on the way can hold, and counts what it sent."""

    def __init__(self) -> None:
        self.sent = 0  # blocks that were let go

    @property
    def size(self) -> int:
        """Bytes that were let go."""
        return self.sent * len(_BLOCK)

    async def __call__(self, exchange: Answering) -> None:
        for _ in range(4096):
            await exchange.send(b"%x\r\n%b\r\n" % (len(_BLOCK), _BLOCK))
            self.sent += 1


async def begin(
    door: GrpcDoor | RestDoor,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    *,
    to_the_last: bool = False,
) -> Callable[[], object]:
    """Open a stream and read its beginning, or up to its last event; returns how to leave it."""
    if isinstance(door, GrpcDoor):
        metadata = door.metadata(headers)
        call = door.chat.StreamChatCompletion(proto_request(body), metadata=metadata)
        chunk = await call.read()
        while to_the_last and not chunk.last:
            chunk = await call.read()
        return call.cancel
    response = await door.session.post(PATH, json=body, headers=headers)
    data = await response.content.readany()
    while to_the_last and not data.endswith(b"data: [DONE]\n\n"):
        more = await response.content.readany()
        assert more, "the answer ends without its last event"
        data += more
    return response.close


async def until_blocked(flood: Flood, exchange: Exchange) -> None:
    """Return when the provider has not been able to write for half a second."""
    before, still = -1, 0
    while still < 10:
        still = still + 1 if flood.sent == before else 0
        before = flood.sent
        assert exchange.done.at is None, "everything was taken, though nobody reads it"
        await asyncio.sleep(0.05)
    assert before > 0
