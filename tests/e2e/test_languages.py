"""Providers in their own languages, through both doors: what has to survive the whole way."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from tests.support import config as configuration
from tests.support import deployments, failures
from tests.support import event_frames as frames
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.metrics_page import counted
from tests.support.proto_request import proto_request
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Piece, Script, cut, stall

# A number that no double holds, and keys in an order that no sorting gives.
ARGUMENTS = '{"tree":12345678901234567890,"at":1.10}'
SIGNATURE = "c2lnbmVk"
TOOL = {"type": "function", "function": {"name": "prune", "parameters": {"type": "object"}}}
# Parameters that Cohere has nothing for, and one that it has.
ASKED = {"logit_bias": {"1": 1}, "user": "u", "seed": 7}
LEFT_OUT = ("logit_bias", "user")
COHERE = b'{"finish_reason":"COMPLETE","message":{"content":[{"type":"text","text":"Hi"}]}}'
COHERE_STREAM = (
    b'data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hi"}}}}\n\n'
    b'data: {"type":"message-end","delta":{"finish_reason":"COMPLETE"}}\n\n'
)


@pytest.fixture(scope="module")
def up(_upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    config = configuration.standard(_upstream, metrics="127.0.0.1:0")
    for dialect in ("gemini", "cohere"):
        root = _upstream.url(f"/{dialect}").removesuffix("/v1")
        config["providers"][dialect] = configuration.provider(root) | {"dialect": dialect}
    root = _upstream.url("/bedrock").removesuffix("/v1")
    bedrock = configuration.provider(root) | {"dialect": "bedrock"}  # its API key goes as a bearer
    config["providers"]["bedrock"] = bedrock
    config["models"]["test/bedrock"] = configuration.model(("bedrock", "amazon.nova-lite-v1:0"))
    config["models"]["test/gemini"] = configuration.model(("gemini", "gemini-3-pro"))
    for policy in ("warn", "drop", "strict"):
        target = configuration.model(("cohere", "command"), parameters=policy)
        config["models"][f"test/{policy}"] = target
    config["models"]["test/usual"] = configuration.model(("cohere", "command"))
    with deployments.one_process(_upstream, tmp_path_factory.mktemp("languages"), config) as found:
        yield found


@pytest.fixture
async def rest(up: Deployment, upstream: ScriptedUpstream) -> AsyncIterator[RestDoor]:
    async with RestDoor(up.http, KEY) as door:
        yield door


@pytest.fixture
async def typed(up: Deployment, upstream: ScriptedUpstream) -> AsyncIterator[GrpcDoor]:
    async with GrpcDoor(up.grpc, KEY) as door:
        yield door


def _gemini(*parts: str, streamed: bool) -> Script:
    content = '{"role":"model","parts":[' + ",".join(parts) + "]}"
    answer = '{"candidates":[{"content":' + content + ',"finishReason":"STOP"}]}'
    return Script([f"data: {answer}\n\n".encode() if streamed else answer.encode()])


@pytest.mark.parametrize("name", ["rest", "grpc"])
async def test_a_signature_and_every_digit_go_to_the_caller_and_back(
    name: str, rest: RestDoor, typed: GrpcDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    door = rest if name == "rest" else typed
    call = '{"functionCall":{"name":"prune","args":' + ARGUMENTS + "}"
    call += f',"thoughtSignature":"{SIGNATURE}"}}'
    upstream.otherwise(_gemini('{"text":"I prune."}', call, streamed=streamed))
    answer = await door.ask(hello("test/gemini", stream=streamed, tools=[TOOL]))
    (made,) = answer.choices[0].calls
    assert made.arguments == ARGUMENTS
    assert answer.choices[0].finish == "tool_calls"

    upstream.otherwise(_gemini('{"text":"done"}', streamed=streamed))
    function = {"name": made.name, "arguments": made.arguments}
    state = base64.b64encode(made.state).decode()
    call_again = {"id": made.id, "type": "function", "function": function, "provider_state": state}
    turns = [
        {"role": "user", "content": "Prune."},
        {"role": "assistant", "content": "I prune.", "tool_calls": [call_again]},
        {"role": "tool", "tool_call_id": made.id, "content": "pruned"},
    ]
    again = {"model": "test/gemini", "messages": turns, "tools": [TOOL], "stream": streamed}
    assert (await door.ask(again)).text == "done"

    sent = upstream.requests[1]
    part = sent.json["contents"][1]["parts"][1]
    assert part["thoughtSignature"] == SIGNATURE
    assert ARGUMENTS.encode() in sent.body


@pytest.mark.parametrize(
    ("policy", "named"), [("usual", LEFT_OUT), ("warn", LEFT_OUT), ("drop", ())]
)
async def test_what_a_provider_cannot_honour_is_named_at_both_doors_as_the_model_says(
    policy: str,
    named: tuple[str, ...],
    rest: RestDoor,
    typed: GrpcDoor,
    streamed: bool,
    upstream: ScriptedUpstream,
) -> None:
    upstream.otherwise(Script([COHERE_STREAM if streamed else COHERE]))
    asked = hello(f"test/{policy}", stream=streamed, **ASKED)

    reply = await rest.send(json.dumps(asked).encode())
    route = await _route(typed, asked)

    assert reply.status == 200
    told = reply.headers.get("x-llmbase-ignored-parameters", "")
    assert {name.strip() for name in told.split(",") if name} == set(named)
    assert set(route.ignored_parameters) == set(named)
    for request in upstream.requests:
        assert request.json["seed"] == 7
        assert not {"logit_bias", "user"} & request.json.keys()


async def _route(door: GrpcDoor, asked: dict[str, Any]) -> Any:
    request, metadata = proto_request(asked), door.metadata()
    if not asked["stream"]:
        return (await door.chat.CreateChatCompletion(request, metadata=metadata)).route
    chunks = [chunk async for chunk in door.chat.StreamChatCompletion(request, metadata=metadata)]
    return chunks[0].route


async def test_a_strict_model_refuses_at_both_doors_before_anything_is_sent(
    rest: RestDoor, typed: GrpcDoor, streamed: bool, upstream: ScriptedUpstream
) -> None:
    asked = hello("test/strict", stream=streamed, **ASKED)

    told = (await rest.ask(asked)).failure
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _route(typed, asked)

    for failure in (told, failures.from_rpc_error(caught.value)):
        assert failure is not None
        assert (failure.status, failure.type) == (400, "invalid_request_error")
        assert failure.param in LEFT_OUT
    assert upstream.requests == []


BEDROCK = b"".join(
    [
        frames.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
        frames.event("messageStop", {"stopReason": "end_turn"}),
    ]
)
METADATA = frames.event("metadata", {"usage": {"inputTokens": 9, "outputTokens": 1}})


@pytest.mark.parametrize("after", [(METADATA,), (METADATA, stall), (stall,), (cut,)])
async def test_bedrocks_usage_is_waited_for_after_the_end_but_not_for_long(
    after: tuple[Piece, ...], rest: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.otherwise(Script([BEDROCK, *after]))

    answer = await rest.ask(hello("test/bedrock", stream=True))

    assert (answer.complete, answer.text, answer.finish) == (True, "Hi", "stop")
    assert answer.usage is not None
    assert answer.usage.estimated == (METADATA not in after)
    assert answer.usage.prompt == 9 or answer.usage.estimated


async def test_an_unknown_word_and_an_unknown_event_are_counted_and_the_answer_goes_on(
    up: Deployment, rest: RestDoor, upstream: ScriptedUpstream
) -> None:
    word = COHERE_STREAM.replace(b"COMPLETE", b"NOVELTY")
    upstream.otherwise(Script([b'data: {"type":"novelty"}\n\n' + word]))

    answer = await rest.ask(hello("test/usual", stream=True))

    assert (answer.text, answer.finish) == ("Hi", "stop")
    assert _unknown(up) == {("enum", "cohere"): 1, ("event", "cohere"): 1}


def _unknown(deployment: Deployment) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://{deployment.metrics}/metrics", timeout=10) as page:
        return counted(page.read(), "llmbase_provider_unknown_total")
