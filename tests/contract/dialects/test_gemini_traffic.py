"""Recorded answers of Gemini, of the Developer API and of Vertex AI, whole and cut to pieces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from conformance.reviewed import REVIEWED
from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.dialects.gemini import GeminiDialect
from tests.contract.dialects import recorded
from tests.contract.dialects.recorded import Recording
from tests.unit.service.providers.dialects.reading import (
    Said,
    fold,
    is_complete,
    read_stream,
    whole,
)

ALL = recorded.names("gemini")

# What the noter left without OpenAI's word; the reasons stand there.
CONVENTIONS = {name: other.finish for name, other in REVIEWED.items() if other.finish}


def recording(name: str) -> Recording:
    found = Recording(name)
    assert found.meta  # skips where there are no recordings
    return found


def dialect(found: Recording) -> GeminiDialect:
    return GeminiDialect(vertex=found.name.startswith("vertex/"), project="p")


def answered(found: Recording) -> tuple[dict[int, Said], pb.Usage | None]:
    if found.meta["stream"]:
        chunk, last = read_stream(dialect(found), [found.body])
        return fold(chunk, last), last.usage if last.HasField("usage") else None
    answer = dialect(found).decode(found.body)
    return whole(answer), answer.usage if answer.HasField("usage") else None


def streams() -> list[str]:
    """Those that came as a stream and with the status 200; one is a JSON array."""
    if ALL == [""]:
        return ALL
    return [name for name in ALL if Recording(name).meta["stream"]]


def words(found: Recording) -> tuple[str, str]:
    """The finish that is wanted, and the provider's word for it."""
    expect = found.expect
    native = expect["finish_native"][0] if "finish_native" in expect else expect["prompt_blocked"]
    finish = expect.get("finish_openai") or CONVENTIONS[found.name]
    return finish, "STOP" if native == 1 else native


@pytest.mark.parametrize("name", ALL)
def test_a_recorded_answer_says_what_an_independent_reader_found(name: str) -> None:
    found = recording(name)
    expect = found.expect
    if found.status != 200:
        told = dialect(found).decode_error(found.status, found.body)
        assert told == " ".join(expect["errors"][0]["message"].split("\n"))
        return
    choices, usage = answered(found)
    assert len(choices) == max(expect["choices"], 1)  # a blocked prompt has an empty answer
    assert choices[0].text == expect["text"] or len(choices) > 1
    assert "".join(said.text for said in choices.values()).startswith(expect["text"])
    assert choices[0].reasoning == expect["reasoning"] or len(choices) > 1
    calls = [(c.name, list(json.loads(c.arguments).items())) for c in choices[0].calls]
    wanted = expect["tool_calls"]
    assert calls == [(c["name"], list(json.loads(c["arguments"]).items())) for c in wanted]
    for call, given in zip(choices[0].calls, wanted, strict=True):
        assert call.id == given["id"] or (given["id"] is None and call.id.startswith("call_"))
    assert (choices[0].finish, choices[0].native) == words(found)
    check_usage(usage, expect.get("usage"))


def check_usage(usage: pb.Usage | None, noted: Any) -> None:
    if noted is None:
        assert usage is None
        return
    assert usage is not None
    counts = {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "cached": usage.cached_tokens,
        "reasoning": usage.reasoning_tokens,
    }
    assert counts == {key: noted[key] or 0 for key in counts}
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.parametrize("name", ALL)
def test_every_recorded_signature_is_kept_and_goes_back_unchanged(name: str) -> None:
    found = recording(name)
    signatures = re.findall(rb'"thoughtSignature":\s*"([^"]*)"', found.body)
    if not signatures:
        return
    choices, _ = answered(found)
    said = choices[0]
    message = pb.Message(
        role=pb.ROLE_ASSISTANT,
        content=[pb.ContentPart(text=said.text)],
        provider_state=said.state,
        tool_calls=[
            pb.ToolCall(id=c.id, name=c.name, arguments=c.arguments, provider_state=c.state)
            for c in said.calls
        ],
    )
    request = pb.ChatCompletionRequest(messages=[message])
    body = dialect(found).encode(request, "gemini-3.5-flash", stream=False).body
    assert re.findall(rb'"thoughtSignature":"([^"]*)"', body) == signatures


def outcome(found: Recording, pieces: Iterator[bytes]) -> Any:
    return read_stream(dialect(found), pieces)


def variants(body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    lines = re.sub(rb"\r\n?", b"\n", body)
    crlf = lines.replace(b"\n", b"\r\n")
    yield "LF", [lines]
    yield "CR", [lines.replace(b"\n", b"\r")]
    yield "CR and LF apart", re.split(rb"(?<=\r)", crlf)
    yield "byte order mark", [b"\xef\xbb", b"\xbf", lines]
    yield "no blank line at the end", [lines.rstrip(b"\n")]
    for size in (1, 2, 3, 7, 64):
        yield f"in pieces of {size}", [body[i : i + size] for i in range(0, len(body), size)]
    if body.startswith(b"data:"):
        commented = lines.replace(b"\n\n", b"\n\n: waiting\n\nid: 1\nretry: 5\n")
        yield "comments", [commented]


@pytest.mark.parametrize("name", streams())
def test_a_recorded_stream_says_the_same_however_it_comes(name: str) -> None:
    found = recording(name)
    wanted = outcome(found, iter([found.body]))
    for how, pieces in variants(found.body):
        assert outcome(found, iter(pieces)) == wanted, how


def is_end(event: Event) -> bool:
    """Whether the one candidate, or the prompt, is told to be at its end by the event."""
    given = json.loads(event.data)
    return "promptFeedback" in given or "finishReason" in given["candidates"][0]


@pytest.mark.parametrize("name", streams())
def test_a_recorded_stream_is_complete_when_its_end_was_told_and_not_before(name: str) -> None:
    found = recording(name)
    ends = [is_end(event) for event in dialect(found).framer().feed(found.body)]
    body = found.body
    for cut in range(len(body) + 1):
        framer, decoder = dialect(found).framer(), dialect(found).decode_stream()
        events = framer.feed(body[:cut]) + framer.end()
        for event in events:
            decoder.decode(event, pb.ChatCompletionChunk())
        assert is_complete(decoder) == any(ends[: len(events)]), cut


@pytest.mark.parametrize("name", ALL)
def test_a_recorded_error_inside_an_answer_is_a_fault_of_its_status(name: str) -> None:
    found = recording(name)
    if found.status == 200:
        return
    with pytest.raises(ProviderFault) as caught:
        dialect(found).decode(found.body)
    # Two have a code that blames the request, and words that blame our key or our place.
    status = 401 if b"API_KEY_INVALID" in found.body else found.status
    status = 403 if b'"FAILED_PRECONDITION"' in found.body else status
    rejected = FaultKind.REJECTED if status == 400 else FaultKind.STATUS
    assert (caught.value.kind, caught.value.status) == (rejected, status)
    assert (caught.value.retry_after is not None) == (b"retryDelay" in found.body)
