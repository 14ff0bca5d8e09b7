"""Who knows only the old frames is told nothing else, and understood: upgrades roll."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from llmbase.relay.v1.relay_pb2 import RelayRequest, RelayResponse

from channel.calls import UnaryUnaryCall
from channel.in_process import InProcessServer
from relay.client_session import ClientSession
from relay.server_session import ServerSession
from tests.unit.channel.doors import SERVICE, generic_handler, text_of
from tests.unit.relay import old_peers
from tests.unit.relay.pipes import LARGEST, Pipe, ServerEnd, settled

REQUEST = text_of("question").SerializeToString()
ENTRY = [{"key": "key", "value": b"value"}]


async def answer(request: StringValue, context: Any) -> StringValue:
    await context.send_initial_metadata((("early", "1"),))
    context.set_trailing_metadata((("late", "2"),))
    return text_of(f"{request.value} {dict(context.invocation_metadata())}")


async def test_an_old_caller_asks_and_is_answered_as_ever() -> None:
    servicers = InProcessServer()
    servicers.add_generic_rpc_handlers((generic_handler(answer, None),))
    pipe = Pipe()
    serving = asyncio.create_task(ServerSession(servicers, LARGEST).run(ServerEnd(pipe)))
    opened = {"method": f"/{SERVICE}/Ask", "metadata": ENTRY, "credit": 1000}
    asked = old_peers.REQUEST()
    for frame in ({"open": opened}, {"message": REQUEST}, {"half_close": True}):
        asked.frames.add(call=1, **frame)
    await pipe.up.write(RelayRequest.FromString(asked.SerializeToString()))
    await settled()
    heard = [frame for it in pipe.down.seen for frame in old_peers.as_heard(it).frames]
    kinds = [frame.WhichOneof("kind") for frame in heard]
    assert kinds == ["welcome", "initial_metadata", "message", "status"]
    assert [it.key for it in heard[1].initial_metadata.metadata] == ["early"]
    assert StringValue.FromString(heard[2].message).value == "question {'key': 'value'}"
    assert [it.key for it in heard[3].status.trailing_metadata] == ["late"]
    pipe.up.end()
    await asyncio.wait_for(serving, 5)


async def test_an_old_service_is_asked_and_answers_as_ever() -> None:
    pipe, session = Pipe(), ClientSession(LARGEST)

    async def say(**frame: Any) -> None:
        said = old_peers.RESPONSE(frames=[frame])
        await pipe.down.write(RelayResponse.FromString(said.SerializeToString()))

    carrying = asyncio.create_task(session.run(pipe))
    await say(welcome={"largest_request": 10_000, "largest_in_parts": 20_000})
    await session.welcomed.wait()
    call: Any = UnaryUnaryCall(
        session.begin(f"/{SERVICE}/Ask", REQUEST, (("key", "value"),), None, StringValue.FromString)
    )
    await settled()
    heard = [frame for it in pipe.up.seen for frame in old_peers.as_heard(it).frames]
    assert [it.WhichOneof("kind") for it in heard] == ["open", "message", "half_close"]
    assert [(it.key, it.value) for it in heard[0].open.metadata] == [("key", b"value")]
    assert heard[1].message == REQUEST
    await say(call=1, initial_metadata={"metadata": ENTRY})
    await say(call=1, message=text_of("answer").SerializeToString())
    await say(call=1, status={"trailing_metadata": ENTRY})
    assert (await call).value == "answer"
    assert tuple(await call.initial_metadata()) == (("key", "value"),)
    assert tuple(await call.trailing_metadata()) == (("key", "value"),)
    assert await call.code() is grpc.StatusCode.OK
    pipe.down.end()
    await carrying
