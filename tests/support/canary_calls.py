"""Calls that carry canaries, in all four ways: over REST and gRPC, whole and streamed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc

from tests.support import config as configuration
from tests.support.asking import hello
from tests.support.canaries import KEY, PROMPT, ROLE_AND_WORD, Case
from tests.support.config import NARROW_KEY
from tests.support.deployments import Deployment
from tests.support.failures import reason_of
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import stream
from tests.support.proto_request import proto_request
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal


async def ask(case: Case, rest: RestDoor, typed: GrpcDoor, upstream: ScriptedUpstream) -> list[str]:
    """Make a call in all four ways. Returns what the caller is told where it fails."""
    told = []
    if case.plan is not None:
        names = {target for targets in configuration.TARGETS.values() for _, target in targets}
        for name in filter(None, names):
            upstream.on(name, case.plan)
    key = {"Authorization": f"Bearer {case.key}"} if case.key is not None else {}
    for streamed in (False, True):
        body = hello(case.model, stream=streamed) | dict(case.body)
        body["messages"] = [{"role": "user", "content": PROMPT}]
        headers = {**case.headers, **key}
        async with rest.post(json.dumps(body).encode(), headers) as response:
            text = (await response.read()).decode("utf-8", "replace")
            if response.status != 200 or '"error"' in text:
                told.append(f"{case.name}: {text} {dict(response.headers)}")
            if case.code is not None:
                assert json.loads(text)["error"]["code"] == case.code, case.name
        told += await ask_typed(case, typed, body, headers)
    return told


async def ask_typed(
    case: Case, door: GrpcDoor, body: dict[str, Any], headers: dict[str, str]
) -> list[str]:
    request = proto_request(body)
    seconds = float(headers.get("X-Request-Timeout", 30))
    metadata = tuple(
        (name.lower(), value) for name, value in headers.items() if name == "Authorization"
    )
    try:
        if body["stream"]:
            async for _ in door.chat.StreamChatCompletion(
                request, metadata=metadata, timeout=seconds
            ):
                pass
        else:
            await door.chat.CreateChatCompletion(request, metadata=metadata, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        if case.code is not None:
            assert reason_of(error) == case.code.upper(), case.name
        return [f"{case.name}: {error.details()} {error.trailing_metadata()}"]
    assert case.code is None, case.name
    return []


async def send(door: RestDoor, body: str) -> str:
    reply = await door.send(body.encode(), {"Authorization": f"Bearer {KEY}"})
    assert reply.status == 400
    return f"{reply.body!r} {dict(reply.headers)}"


async def say(deployment: Deployment, head: str) -> None:
    """Send bytes that may be no HTTP; what is said of them is told to nobody else."""
    host, port = deployment.http.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1."), head


async def another_caller(rest: RestDoor, typed: GrpcDoor) -> list[str]:
    """Fail for somebody who asks something else."""
    told = []
    for model in ("zai-org/dead", "test/dead", "no/such"):
        headers = {"Authorization": f"Bearer {NARROW_KEY}"}
        told += [str((await rest.send(json.dumps(hello(model)).encode(), headers)).body)]
        told += await ask_typed(Case("another"), typed, hello(model), headers)
    return told


async def leave(rest: RestDoor, typed: GrpcDoor, upstream: ScriptedUpstream) -> None:
    """Go away in the middle of an answer."""
    upstream.on("one", stream(*ROLE_AND_WORD, hold(Signal())))
    key = {"Authorization": f"Bearer {KEY}"}
    body = hello(stream=True) | {"messages": [{"role": "user", "content": PROMPT}]}
    async with rest.post(json.dumps(body).encode(), key) as response:
        await response.content.readany()
        response.close()
    metadata = tuple((name.lower(), value) for name, value in key.items())
    call = typed.chat.StreamChatCompletion(proto_request(body), metadata=metadata)
    assert await call.read()
    call.cancel()
