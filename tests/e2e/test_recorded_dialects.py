"""What providers sent in their own languages comes out of the doors as the dialect reads it.

That a dialect reads it right is proven beside the dialects; here the whole way is: framing,
credentials, paths, errors, the commit line, and the form of what the caller gets.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from conformance.ours import SETTINGS
from service.config import ProviderConfig
from service.errors import ProviderFault
from service.providers.dialects import DIALECTS
from service.providers.dialects.dialect import Dialect
from tests.support import config as configuration
from tests.support import deployments
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_schema import check_answer
from tests.support.recordings import Recording, recorded_in, recording
from tests.support.rest_door import RestDoor
from tests.support.rest_form import read_reply
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import drip

NATIVES = ("anthropic", "bedrock", "cohere", "gemini", "ollama", "vertex")


@pytest.fixture(scope="module")
def natives(
    _upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Both doors in one process, before a provider of each dialect."""
    config = configuration.standard(_upstream)
    for name in NATIVES:
        provider = configuration.provider(_upstream.url(f"/{name}").removesuffix("/v1"))
        provider |= {"dialect": name, **SETTINGS.get(name, {})}
        config["providers"][name] = {k: v for k, v in provider.items() if v is not None}
        config["models"][f"native/{name}"] = configuration.model((name, "their-model"))
    with deployments.one_process(_upstream, tmp_path_factory.mktemp("natives"), config) as found:
        yield found


@pytest.fixture
async def rest(natives: Deployment, upstream: ScriptedUpstream) -> AsyncIterator[RestDoor]:
    async with RestDoor(natives.http, KEY) as door:
        yield door


@pytest.fixture
async def grpc(natives: Deployment, upstream: ScriptedUpstream) -> AsyncIterator[GrpcDoor]:
    async with GrpcDoor(natives.grpc, KEY) as door:
        yield door


def _read(found: Recording) -> pb.ChatCompletion | ProviderFault:
    """Return what the dialect itself reads, put together."""
    name = found.dialect
    config = {"dialect": name, "base_url": "http://x", **SETTINGS.get(name, {})}
    dialect = DIALECTS[name].build(ProviderConfig.model_validate(config))
    try:
        if not found.streamed:
            return dialect.decode(found.body)
        return _put_together(dialect, found.body)
    except ProviderFault as fault:
        return fault


def _put_together(dialect: Dialect, body: bytes) -> pb.ChatCompletion:
    framer, decoder, chunk = dialect.framer(), dialect.decode_stream(), pb.ChatCompletionChunk()
    for event in [*framer.feed(body), *framer.end()]:
        if not decoder.done:
            decoder.decode(event, chunk)
    last = decoder.finish()
    completion = pb.ChatCompletion(usage=last.usage if last.HasField("usage") else None)
    for end in last.choices:
        choice = completion.choices.add(index=end.index, finish_reason=end.finish_reason)
        deltas = [delta for delta in chunk.choices if delta.index == end.index]
        choice.message.content.add(text="".join(delta.content for delta in deltas))
        for delta in deltas:
            for piece in delta.tool_calls:
                while len(choice.message.tool_calls) <= piece.index:
                    choice.message.tool_calls.add()
                choice.message.tool_calls[piece.index].name += piece.name
                choice.message.tool_calls[piece.index].arguments += piece.arguments
    return completion


def _check(found: Recording, answer: Answer) -> None:
    wanted = _read(found)
    if found.status != 200 or isinstance(wanted, ProviderFault):
        assert answer.failure is not None
        assert not answer.complete
        if found.status != 200:
            at_fault = found.status in (400, 413, 422)
            assert answer.failure.status in ({400, 502} if at_fault else {502})
        return
    assert answer.complete
    assert answer.failure is None
    for given, choice in zip(answer.choices, wanted.choices, strict=True):
        assert (given.text or "") == "".join(part.text for part in choice.message.content)
        calls = [(call.name, call.arguments) for call in choice.message.tool_calls]
        assert [(call.name, call.arguments) for call in given.calls] == calls
        assert len({call.id for call in given.calls}) == len(calls)
        word = pb.FinishReason.Name(choice.finish_reason).removeprefix("FINISH_REASON_")
        assert given.finish == word.lower()
    assert answer.usage is not None
    assert answer.usage.estimated == (not wanted.HasField("usage"))
    if wanted.HasField("usage"):
        assert answer.usage.prompt == wanted.usage.prompt_tokens
        assert answer.usage.completion == wanted.usage.completion_tokens


@pytest.mark.parametrize("name", recorded_in(*NATIVES))
async def test_a_recorded_answer_comes_out_of_the_rest_door(
    name: str, rest: RestDoor, upstream: ScriptedUpstream
) -> None:
    found = recording(name)
    upstream.otherwise(found.script())
    asked = hello(f"native/{found.dialect}", stream=found.streamed)
    reply = await rest.send(json.dumps(asked).encode())
    check_answer(reply)
    _check(found, read_reply(reply))


@pytest.mark.matrix
@pytest.mark.parametrize("name", recorded_in(*NATIVES))
async def test_a_recorded_answer_comes_out_of_the_grpc_door_one_byte_at_a_time(
    name: str, grpc: GrpcDoor, upstream: ScriptedUpstream
) -> None:
    found = recording(name)
    short = len(found.body) <= 4000
    upstream.otherwise(found.script(*drip(found.body)) if short else found.script())
    answer = await grpc.ask(hello(f"native/{found.dialect}", stream=found.streamed))
    _check(found, answer)
