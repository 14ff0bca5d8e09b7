"""A stream that is lost is opened again, at once, later, or much later: in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from llmbase.relay.v1.relay_pb2 import (
    InitialMetadata,
    MetadataEntry,
    RelayResponse,
    ServerFrame,
    WholeAnswer,
)

from relay.client_session import ClientSession
from relay.keeping import Keeper
from tests.unit.relay.pipes import LARGEST, Pipe, broken, settled
from tests.unit.virtual_time import in_virtual_time, now

UNAVAILABLE, UNIMPLEMENTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED


class Line:
    """Connects pipes, and knows when. `welcomed` ones are open before they end."""

    def __init__(self, how: Any, *, welcomed: bool) -> None:
        self.times: list[float] = []
        self.pipes: list[Pipe] = []
        self._how = how
        self._welcomed = welcomed
        self.keeper = Keeper(self._connect, self._session)

    def _connect(self) -> Pipe:
        self.times.append(now())
        self.pipes.append(Pipe())
        if self._welcomed:
            self.keeper.session.welcomed.set()
        self.pipes[-1].down.end(self._how)
        return self.pipes[-1]

    def _session(self) -> ClientSession:
        return ClientSession(LARGEST)

    async def keep(self, seconds: float) -> list[float]:
        """Returns the pauses between its streams."""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.keeper.run(), seconds)
        return [round(b - a, 3) for a, b in zip(self.times, self.times[1:], strict=False)]


@in_virtual_time
async def test_a_stream_that_carried_calls_is_opened_again_soon() -> None:
    line = Line(broken(UNAVAILABLE), welcomed=True)
    assert await line.keep(0.95) == [0.1] * 9
    assert all(pipe.cancelled for pipe in line.pipes)


@in_virtual_time
async def test_a_stream_that_ended_by_protocol_too() -> None:
    assert await Line(grpc.aio.EOF, welcomed=True).keep(0.35) == [0.1] * 3


@in_virtual_time
async def test_streams_that_never_open_are_tried_less_and_less() -> None:
    pauses = await Line(broken(UNAVAILABLE), welcomed=False).keep(10)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


@in_virtual_time
async def test_a_service_that_knows_no_relay_is_asked_once_a_minute() -> None:
    assert await Line(broken(UNIMPLEMENTED), welcomed=False).keep(150) == [60.0, 60.0]


@in_virtual_time
async def test_what_is_no_relay_is_left_alone_for_a_while() -> None:
    # gRPC gives None for what is no message.
    assert await Line(None, welcomed=True).keep(5) == [2.0, 2.0]


UPPER = InitialMetadata(metadata=[MetadataEntry(key="Upper", value=b"")])


@pytest.mark.parametrize(
    "frame",
    [
        ServerFrame(call=1, initial_metadata=UPPER),
        ServerFrame(call=1, whole_answer=WholeAnswer(initial_metadata=["Upper", ""])),
        ServerFrame(call=1, whole_answer=WholeAnswer(initial_metadata=["odd"])),
        ServerFrame(call=1, whole_answer=WholeAnswer(trailing_metadata=UPPER.metadata)),
    ],
)
@in_virtual_time
async def test_metadata_that_grpc_would_not_carry_ends_the_stream_and_not_its_keeper(
    frame: ServerFrame,
) -> None:
    line = Line(grpc.aio.EOF, welcomed=True)
    call = line.keeper.session.begin("/a/b", b"", (), None, None)
    line.keeper._connect = lambda: _telling(frame)
    keeping = asyncio.create_task(line.keeper.run())
    await settled()
    assert call.status is not None
    assert call.status.code is UNAVAILABLE
    assert not keeping.done()
    keeping.cancel()


def _telling(frame: ServerFrame) -> Pipe:
    pipe = Pipe()
    pipe.down.end(RelayResponse(frames=[frame]))
    return pipe


@in_virtual_time
async def test_there_is_a_new_session_as_soon_as_one_is_over() -> None:
    line = Line(broken(UNAVAILABLE), welcomed=True)
    keeping = asyncio.create_task(line.keeper.run())
    first = line.keeper.session
    await settled()
    assert line.keeper.session is not first
    assert not line.keeper.session.takes(0)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
