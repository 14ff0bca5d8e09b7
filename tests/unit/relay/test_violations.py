"""What may not come over a relay ends it, or its call, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from llmbase.relay.v1.relay_pb2 import (
    CallerFrame,
    MetadataEntry,
    Open,
    RelayRequest,
    Status,
    WholeRequest,
)

from channel.in_process import InProcessServer
from relay.frames import LARGEST_REQUEST
from relay.server_session import ServerSession, Violation
from tests.unit.channel.doors import SERVICE, generic_handler
from tests.unit.relay.pipes import LARGEST, Pipe, ServerEnd, settled

OPEN = Open(method=f"/{SERVICE}/Ask", credit=1000)
WHOLE = WholeRequest(method=f"/{SERVICE}/Ask", credit=1000)
PAIR = ("key", "text")


async def echo(request: StringValue, context: Any) -> StringValue:
    return request


class Server:
    """A server's end that is told frames as they are."""

    def __init__(self) -> None:
        servicers = InProcessServer()
        servicers.add_generic_rpc_handlers((generic_handler(echo, None),))
        self.pipe = Pipe()
        self.session = ServerSession(servicers, LARGEST)
        self.running = asyncio.create_task(self.session.run(ServerEnd(self.pipe)))

    async def tell(self, *frames: CallerFrame) -> None:
        await self.pipe.write(RelayRequest(frames=frames))
        await settled()

    def status(self, call: int) -> Status:
        (status,) = [
            it.status for it in self.pipe.down.frames if it.call == call and it.HasField("status")
        ]
        return status


def frame(call: int = 1, **said: Any) -> CallerFrame:
    return CallerFrame(call=call, **said)


@pytest.mark.parametrize(
    "frames",
    [
        [frame(0, open=OPEN)],
        [frame(2, open=OPEN), frame(1, open=OPEN)],
        [frame(1, open=OPEN), frame(1, open=OPEN)],
        [frame(1, message=b"")],
        [frame(1, part=b"")],
        [frame(0, credit=1)],
        [frame(1, open=Open(method="/a/b", metadata=[MetadataEntry(key="Upper", value=b"")]))],
        [frame(0, whole_request=WHOLE)],
        [frame(1, whole_request=WHOLE), frame(1, whole_request=WHOLE)],
        [frame(2, open=OPEN), frame(1, whole_request=WHOLE)],
        [frame(2, whole_request=WHOLE), frame(1, open=OPEN)],
        [
            frame(
                1, open=Open(method="/a/b", metadata=[MetadataEntry(key="k" * 65_536, value=b"v")])
            )
        ],
        [frame(1, whole_request=WholeRequest(method="/a/b", metadata=["k", "v" * 65_536]))],
        [frame(1, whole_request=WholeRequest(method="/a/b", metadata=["key"]))],
        [frame(1, whole_request=WholeRequest(method="/a/b", metadata=["Upper", ""]))],
        [frame(1, whole_request=WholeRequest(method="/a/b", metadata=["key", "\xe9"]))],
        [frame(1, whole_request=WholeRequest(method="/a/b", metadata=["key-bin", "text"]))],
        [frame(1, whole_request=WholeRequest(method="/a/b", metadata=[*PAIR, "key", "two\n"]))],
    ],
)
async def test_frames_that_make_no_sense_end_the_stream(frames: list[CallerFrame]) -> None:
    server = Server()
    await server.tell(*frames)
    with pytest.raises(Violation):
        await asyncio.wait_for(server.running, 5)
    assert server.session.calls == 0


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(half_close=True)], grpc.StatusCode.INTERNAL),
        ([frame(message=bytes(LARGEST_REQUEST + 1))], grpc.StatusCode.RESOURCE_EXHAUSTED),
        ([frame(part=bytes(LARGEST_REQUEST + 1))], grpc.StatusCode.RESOURCE_EXHAUSTED),
        ([frame(part=bytes(LARGEST_REQUEST))] * 5, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (
            [frame(part=bytes(LARGEST_REQUEST))] * 4 + [frame(message=b"1")],
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
        ([frame(message=b"\xff"), frame(half_close=True)], grpc.StatusCode.UNKNOWN),
    ],
)
async def test_a_call_that_makes_no_sense_ends_alone(
    frames: list[CallerFrame], code: grpc.StatusCode
) -> None:
    server = Server()
    await server.tell(frame(open=OPEN), *frames)
    assert server.status(1).code == code.value[0]
    await server.tell(frame(2, open=OPEN), frame(2, message=b""), frame(2, half_close=True))
    assert server.status(2).code == 0
    assert server.session.calls == 0
    server.pipe.up.end()
    await asyncio.wait_for(server.running, 5)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (bytes(LARGEST_REQUEST + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (b"\xff", grpc.StatusCode.UNKNOWN),
    ],
)
async def test_a_whole_request_that_makes_no_sense_ends_alone(
    message: bytes, code: grpc.StatusCode
) -> None:
    server = Server()
    asked = WholeRequest(method=WHOLE.method, credit=1000, message=message)
    await server.tell(frame(whole_request=asked), frame(2, whole_request=WHOLE))
    assert server.status(1).code == code.value[0]
    assert server.pipe.down.kinds().count("whole_answer") == 1
    assert server.session.calls == 0
    server.pipe.up.end()
    await asyncio.wait_for(server.running, 5)


@pytest.mark.parametrize("late", ["part", "message", "half_close", "credit", "cancel"])
async def test_what_is_said_of_a_call_that_has_ended_is_not_heard(late: str) -> None:
    server = Server()
    await server.tell(frame(open=OPEN), frame(message=b""), frame(half_close=True))
    said: dict[str, Any] = {"half_close": True, "credit": 5, "cancel": True}
    await server.tell(frame(**{late: said.get(late, b"")}))
    assert not server.running.done()
    server.pipe.up.end()
    await asyncio.wait_for(server.running, 5)


async def test_a_deadline_holds_while_the_request_is_still_to_come() -> None:
    server = Server()
    opened = Open(method=f"/{SERVICE}/Ask", timeout_us=1000)
    await server.tell(frame(open=opened))
    async with asyncio.timeout(5):
        while "status" not in server.pipe.down.kinds():
            await server.pipe.down.read()
    assert server.status(1).code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    server.running.cancel()


async def test_a_half_closed_stream_ends_with_its_last_call() -> None:
    server = Server()
    await server.tell(frame(open=OPEN), frame(message=b""))
    server.pipe.up.end()
    await settled()
    assert not server.running.done()
    server.running.cancel()  # the request will never be complete: the stream's end is the call's
    await asyncio.wait([server.running])
    await settled()
    assert server.session.calls == 0
