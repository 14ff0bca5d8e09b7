"""What was seen of a request is for that very request: what was changed meanwhile is looked at."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig, TimeoutsConfig
from service.providers import estimate
from service.providers.call import Call
from service.providers.dialects import DIALECTS
from service.providers.dialects.dialect import Dialect, HttpRequest
from service.providers.dialects.embedded import EmbeddedDialect
from service.providers.dialects.openai import OpenAiDialect
from service.providers.http_client.client import HttpClient
from service.providers.http_provider import HttpProvider
from service.providers.seen import Seen, look
from service.routing.seam import Seam
from service.rpc import validation
from tests.unit.service.providers.http_client.wires import Wires

DIALECT = DIALECTS["openai"].build(ProviderConfig(dialect="openai"))


def says(*texts: str, **fields: Any) -> pb.ChatCompletionRequest:
    messages = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=it)]) for it in texts]
    return pb.ChatCompletionRequest(model="m", messages=messages, **fields)


def changed(request: pb.ChatCompletionRequest) -> pb.ChatCompletionRequest:
    copy = pb.ChatCompletionRequest()
    copy.CopyFrom(request)
    copy.messages[0].content[0].text = "something else"
    copy.temperature = 0.5
    return copy


class Images:
    """Changes every request, as if it had images to be fetched."""

    async def inline(self, request: pb.ChatCompletionRequest) -> pb.ChatCompletionRequest:
        return changed(request)


def provider(dialect: Dialect = DIALECT) -> HttpProvider:
    return HttpProvider(
        "acme",
        dialect,
        HttpClient(Wires()),  # type: ignore[no-untyped-call, arg-type]
        "http://acme.example",
        timeouts=TimeoutsConfig(),
        largest_answer=1000,
        headers={},
        credentials=None,
        images=Images(),
    )


def checked(request: pb.ChatCompletionRequest) -> Call:
    call = Call("id")
    call.seen = validation.check(request)
    return call


def fields(http: HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(http.body)
    return found


def test_a_request_is_looked_at_once() -> None:
    request = says("hi")
    seen = look(request, None)

    assert look(request, seen) is seen


def test_a_request_that_is_only_alike_is_looked_at() -> None:
    seen = Seen(says("hi"))

    assert look(alike := says("hi"), seen).request is alike


async def test_a_request_is_encoded_as_it_was_seen() -> None:
    request = says("hi", temperature=1.5)
    call = checked(request)

    assert fields(provider().encode(request, "theirs", call, stream=False)) == {
        "model": "theirs",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 1.5,
    }


async def test_a_changed_request_is_encoded_as_changed() -> None:
    request = says("hi")
    call = checked(request)
    other = changed(request)

    http = provider().encode(other, "theirs", call, stream=False)
    assert http == DIALECT.encode(other, "theirs", stream=False)
    assert fields(http)["messages"][0]["content"] == "something else"


async def test_a_request_whose_images_were_fetched_is_encoded_with_them() -> None:
    class Fetching(OpenAiDialect):
        takes_image_urls = False

    request = says("hi")
    call = checked(request)
    made = provider(Fetching())
    assert made.images is not None
    http = made.encode(await made.images.inline(request), "m", call, stream=True)
    assert fields(http)["messages"][0]["content"] == "something else"
    assert fields(http)["temperature"] == 0.5


async def test_a_request_that_a_dialect_completes_is_encoded_completely() -> None:
    request = says("hi", logprobs=True)
    http = provider(EmbeddedDialect(DIALECT)).encode(request, "m", checked(request), stream=False)
    assert [it["role"] for it in fields(http)["messages"]] == ["system", "user"]


async def test_a_stream_that_another_target_goes_on_with_is_encoded_with_what_came() -> None:
    request = says("hi")
    call = checked(request)
    seam = Seam()
    piece = pb.ChoiceDelta(content="What came")
    seam.note(pb.ChatCompletionChunk(choices=[piece]))

    http = provider().encode(seam.request(request), "m", call, stream=True)
    assert fields(http)["messages"][-1] == {"role": "assistant", "content": "What came"}


async def test_what_was_seen_goes_to_the_call_that_may_outlive_its_own() -> None:
    call = checked(says("hi"))
    seen = call.seen
    detached = call.detach()

    assert (call.seen, detached.seen) == (None, seen)
    assert detached.fork().seen is None


@pytest.mark.parametrize("more", [{}, {"tools": [pb.Tool(name="f", description="long")]}])
def test_what_a_request_is_said_to_use_is_the_same_by_what_was_seen(more: dict[str, Any]) -> None:
    request = says("hi", "a longer one", **more)
    seen = Seen(request)

    assert estimate.prompt_tokens(request, seen) == estimate.prompt_tokens(request)
    other = changed(request)
    assert estimate.prompt_tokens(other, seen) == estimate.prompt_tokens(other)
