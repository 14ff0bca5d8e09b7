"""What a stream looks like, event by event and byte by byte."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.errors import internal_error
from gateway.transcoding.chunks import StreamRenderer, error_event
from tests.support.openai_schema import check
from tests.support.shared import require_shared, shared_names

USAGE = pb.Usage(prompt_tokens=10, completion_tokens=9, total_tokens=19)
USAGE_JSON = {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19}
Delta = pb.ChoiceDelta


def chunk(*deltas: Delta, **fields: Any) -> pb.ChatCompletionChunk:
    facts = {"id": "chatcmpl-...", "created": 1741000000, "model": "zai-org/glm-5"}
    return pb.ChatCompletionChunk(**facts, choices=deltas, **fields)


def last(*indices: int, finish: int = pb.FINISH_REASON_STOP, **fields: Any) -> Any:
    ends = [Delta(index=index, finish_reason=finish) for index in indices or (0,)]
    return chunk(*ends, usage=USAGE, last=True, **fields)


def rendered(*chunks: pb.ChatCompletionChunk, include_usage: bool = False) -> bytes:
    renderer = StreamRenderer(include_usage)
    return b"".join(renderer.render(each) for each in chunks)


def events(data: bytes) -> list[Any]:
    """The documents of a stream, each held against OpenAI's schema; [DONE] stays text."""
    blocks = data.split(b"\n\n")
    assert blocks.pop() == b""
    found = []
    for block in blocks:
        assert block.startswith(b"data: ")
        text = block.removeprefix(b"data: ").decode()
        found.append(text if text == "[DONE]" else json.loads(text))
        if text != "[DONE]":
            check("chunk", found[-1])
    return found


def choices(data: bytes) -> list[Any]:
    return [said for event in events(data)[:-1] for said in event["choices"]]


def delta_event(delta: Any, index: int = 0) -> Any:
    return {"index": index, "delta": delta, "finish_reason": None}


ROLE = delta_event({"role": "assistant"})


def test_the_documents_own_stream_comes_out_byte_by_byte() -> None:
    (name,) = shared_names("contract", pattern="*.txt")
    document = require_shared("contract", name).read_text(encoding="utf-8")
    lines = [line for line in document.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"

    stream = rendered(chunk(Delta(content="1")), last())

    assert stream.decode() == "".join(line + "\n\n" for line in lines if "{..." not in line)


def test_a_first_chunk_with_content_says_the_role_in_an_event_of_its_own() -> None:
    assert choices(rendered(chunk(Delta(content="Hi")), last()))[:2] == [
        ROLE,
        delta_event({"content": "Hi"}),
    ]


def test_each_delta_of_a_chunk_is_an_event() -> None:
    stream = rendered(chunk(Delta(content="a"), Delta(content="b")), chunk(Delta(content="c")))

    assert [said["delta"] for said in choices(stream + b"data: [DONE]\n\n")] == [
        {"role": "assistant"},
        {"content": "a"},
        {"content": "b"},
        {"content": "c"},
    ]


def test_usage_is_in_the_last_event_with_the_finish_reason() -> None:
    *_, finish, done = events(rendered(chunk(Delta(content="a")), last()))

    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert finish["usage"] == USAGE_JSON
    assert done == "[DONE]"


def test_usage_is_nowhere_else() -> None:
    found = events(rendered(chunk(Delta(content="a")), last()))

    assert [i for i, event in enumerate(found[:-1]) if "usage" in event] == [2]


def test_usage_on_request_has_an_event_of_its_own_and_is_null_in_the_others() -> None:
    found = events(rendered(chunk(Delta(content="a")), last(), include_usage=True))

    assert [event["usage"] for event in found[:-1]] == [None, None, None, USAGE_JSON]
    assert [len(event["choices"]) for event in found[:-1]] == [1, 1, 1, 0]
    assert found[-1] == "[DONE]"


def test_several_choices_have_a_role_and_a_finish_each_and_one_usage() -> None:
    stream = rendered(
        chunk(Delta(index=1, content="b")), chunk(Delta(index=0, content="a")), last(0, 1)
    )

    found = events(stream)
    assert [(said["index"], said["delta"], said["finish_reason"]) for said in choices(stream)] == [
        (1, {"role": "assistant"}, None),
        (1, {"content": "b"}, None),
        (0, {"role": "assistant"}, None),
        (0, {"content": "a"}, None),
        (0, {}, "stop"),
        (1, {}, "stop"),
    ]
    assert ["usage" in event for event in found[:-1]] == [False] * 5 + [True]


def test_a_choice_that_said_nothing_has_a_role_all_the_same() -> None:
    assert [said["delta"] for said in choices(rendered(last(0)))] == [{"role": "assistant"}, {}]


def test_every_kind_of_delta() -> None:
    call = pb.ToolCallDelta(index=1, id="c", name="f")
    more = pb.ToolCallDelta(index=1, arguments='{"a', provider_state=b"s")
    stream = rendered(
        chunk(
            Delta(reasoning_content="r"),
            Delta(refusal="no"),
            Delta(tool_calls=[call]),
            Delta(tool_calls=[more]),
            Delta(provider_state=b"\xff"),
            Delta(content="a", reasoning_content="b"),
            Delta(content=""),
        ),
        last(),
    )

    start = {"index": 1, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    rest = {"index": 1, "function": {"arguments": '{"a'}, "provider_state": "cw=="}
    assert [said["delta"] for said in choices(stream)[1:-1]] == [
        {"reasoning_content": "r"},
        {"refusal": "no"},
        {"tool_calls": [start]},
        {"tool_calls": [rest]},
        {"provider_state": "/w=="},
        {"content": "a", "reasoning_content": "b"},
        {"content": ""},
    ]


def test_logprobs_stand_beside_their_delta() -> None:
    logprobs = pb.Logprobs(content=[pb.TokenLogprob(token="a", logprob=-1)])

    said = choices(rendered(chunk(Delta(content="a", logprobs=logprobs)), last()))[1]

    token = {"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}
    assert said == {
        **delta_event({"content": "a"}),
        "logprobs": {"content": [token], "refusal": None},
    }


def test_a_chunk_without_deltas_is_no_event() -> None:
    assert rendered(chunk()) == b""


def test_the_fingerprint_is_in_every_event_when_there_is_one() -> None:
    stream = rendered(chunk(Delta(content="a"), system_fingerprint="fp"), last())

    assert {event["system_fingerprint"] for event in events(stream)[:-1]} == {"fp"}


def test_the_providers_own_word_stands_beside_the_finish_reason_if_it_differs() -> None:
    ends = [
        Delta(index=0, finish_reason=pb.FINISH_REASON_STOP, native_finish_reason="eos"),
        Delta(index=1, finish_reason=pb.FINISH_REASON_LENGTH, native_finish_reason="length"),
    ]

    said = choices(rendered(chunk(*ends, usage=USAGE, last=True)))

    first, second = (choice for choice in said if choice["finish_reason"])
    assert first["native_finish_reason"] == "eos"
    assert "native_finish_reason" not in second


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_comes_through_and_no_line_reader_can_split_it(text: str) -> None:
    stream = rendered(chunk(Delta(content=text), Delta(content=text, refusal=text)), last())

    said = choices(stream)
    assert said[1]["delta"] == {"content": text}
    assert said[2]["delta"] == {"content": text, "refusal": text}
    assert stream.decode().splitlines() == stream.decode().split("\n")[:-1]


def test_an_error_is_one_event_in_the_envelope() -> None:
    data = error_event(internal_error().body())

    assert data.startswith(b"data: ") and data.endswith(b"\n\n") and data.count(b"\n") == 2
    check("error", json.loads(data.removeprefix(b"data: ")))
