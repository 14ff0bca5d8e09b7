"""Recorded answers of Cohere and of Ollama's own API, against what an independent reader saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import ProviderFault
from service.providers.dialects import cohere_state
from service.providers.dialects.cohere import CohereDialect
from service.providers.dialects.dialect import Dialect
from service.providers.dialects.ollama import OllamaDialect
from tests.support.recordings import Recording, recording
from tests.support.shared import require_shared, shared_json, shared_names
from tests.unit.service.providers.dialects.reading import (
    Said,
    fold,
    is_complete,
    read_stream,
    whole,
)

DIALECTS: dict[str, Dialect] = {"cohere": CohereDialect(), "ollama": OllamaDialect()}

# The body is of the same server's other API, in OpenAI's form, and the reader looked for none of
# that; to us it is an answer all the same.
IN_OPENAIS_FORM = "ollama/unary_text_55cfd7"


def names(provider: str) -> Iterator[str]:
    for found in shared_names("traffic", provider, pattern="*/meta.json"):
        name = f"{provider}/{found.removesuffix('/meta.json')}"
        if not found or shared_json("traffic", name, "meta.json")["dialect"] == provider:
            yield name


CASES = [name for provider in DIALECTS for name in names(provider)]
STREAMS = [name for name in CASES if "/stream_" in name] or ["cohere/"]


def dialect(name: str) -> Dialect:
    return DIALECTS[name.split("/")[0]]


def read(name: str, body: bytes) -> tuple[Said, pb.Usage]:
    if "/stream_" in name:
        chunk, last = read_stream(dialect(name), [body])
        (said,), usage = fold(chunk, last).values(), last.usage
    else:
        answer = dialect(name).decode(body)
        (said,), usage = whole(answer).values(), answer.usage
    return said, usage


def expected(name: str, found: Recording) -> dict[str, Any]:
    if name != IN_OPENAIS_FORM:
        return found.expect
    body = json.loads(found.body)
    (choice,), usage = body["choices"], body["usage"]
    return {
        **found.expect,
        "text": choice["message"]["content"],
        "finish_native": [choice["finish_reason"]],
        "finish_openai": choice["finish_reason"],
        "usage": {"prompt": usage["prompt_tokens"], "completion": usage["completion_tokens"]},
    }


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_answer_says_what_an_independent_reader_found(name: str) -> None:
    found = recording(name)
    expect = expected(name, found)
    if found.status != 200:
        (error,) = expect["errors"]
        assert dialect(name).decode_error(found.status, found.body) == error["message"]
        with pytest.raises(ProviderFault) as caught:
            dialect(name).decode(found.body)
        assert caught.value.told == error["message"]
        return
    said, usage = read(name, found.body)
    assert (said.text, said.reasoning) == (expect["text"], expect["reasoning"])
    calls = [(call.id, call.name, json.loads(call.arguments)) for call in said.calls]
    # The reader has "" where there are no arguments.
    assert calls == [
        (call["id"], call["name"], json.loads(call["arguments"] or "{}"))
        for call in expect["tool_calls"]
    ]
    assert cohere_state.plan(said.state) == expect.get("tool_plan", "")
    assert [said.native] == expect["finish_native"]
    assert said.finish == expect["finish_openai"]
    told, native = expect["usage"], expect.get("usage_native", {})
    assert (usage.prompt_tokens, usage.completion_tokens) == (told["prompt"], told["completion"])
    assert usage.cached_tokens == native.get("cached_tokens", 0)
    assert usage.reasoning_tokens == native.get("tokens", {}).get("reasoning_tokens", 0)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("cohere/")])
def test_arguments_that_come_as_text_stay_to_the_letter(name: str) -> None:
    found = recording(name)
    if found.status == 200:
        said, _ = read(name, found.body)
        wanted = [call["arguments"] or "{}" for call in found.expect["tool_calls"]]
        assert [call.arguments for call in said.calls] == wanted


def variants(name: str, body: bytes) -> Iterator[list[bytes]]:
    for data in (body, body.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + body, body.rstrip(b"\n")):
        for size in (1, 2, 3, 7, 1000, len(data)):
            yield [data[i : i + size] for i in range(0, len(data), size)]
    if name.startswith("cohere/"):
        yield [body.replace(b"\n\n", b"\n\n: waiting\n\nretry: 1\nid: 5\n")]
    else:
        yield [body.replace(b"\n", b"\n\n \r\n")]


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_says_the_same_however_it_comes(name: str) -> None:
    body = recording(name).body
    wanted = read_stream(dialect(name), [body])
    for pieces in variants(name, body):
        assert read_stream(dialect(name), pieces) == wanted


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_cut_before_its_last_event_is_no_answer(name: str) -> None:
    events = dialect(name).framer().feed(recording(name).body)
    ends = max(i for i, event in enumerate(events) if event.data != b"[DONE]")
    for cut in range(len(events) + 1):
        decoder = dialect(name).decode_stream()
        for event in events[:cut]:
            decoder.decode(event, pb.ChatCompletionChunk())
        assert is_complete(decoder) == decoder.finished == (cut > ends)


@pytest.mark.matrix
@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_cut_after_any_byte_is_complete_only_with_its_last_event(
    name: str,
) -> None:
    body = recording(name).body
    last = dialect(name).framer().feed(body.partition(b"data: [DONE]")[0])[-1].data
    whole_from = body.rindex(last) + len(last)
    framer, decoder = dialect(name).framer(), dialect(name).decode_stream()
    for at in range(len(body)):
        for event in framer.feed(body[at : at + 1]):
            decoder.decode(event, pb.ChatCompletionChunk())
        assert not decoder.finished or at >= whole_from


def test_every_recording_is_there_and_the_one_in_another_form_has_nothing_to_compare() -> None:
    require_shared("traffic")
    assert sum(name.startswith("cohere/") for name in CASES) == 17
    assert sum(name.startswith("ollama/") for name in CASES) == 10
    found = recording(IN_OPENAIS_FORM)
    assert b'"message":{"role":"assistant","content"' in found.body
    assert found.expect["text"] == "" and "finish_native" not in found.expect
