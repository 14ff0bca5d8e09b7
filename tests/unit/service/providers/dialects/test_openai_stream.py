from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai import OpenAiDialect
from service.providers.estimate import delta_characters
from tests.unit.service.providers.dialects.reading import Said, fold, is_complete, read_stream

DIALECT = OpenAiDialect()
DONE = "[DONE]"
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def chunk(*choices: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "s1", "object": "chat.completion.chunk", "choices": list(choices), **fields}


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "finish_reason": finish}


def text(content: str, index: int = 0) -> dict[str, Any]:
    return chunk(delta(index, content=content))


def wire(*events: Any) -> bytes:
    bodies = (event if isinstance(event, str) else json.dumps(event) for event in events)
    return "".join(f"data: {body}\n\n" for body in bodies).encode()


def read(*events: Any) -> dict[int, Said]:
    return fold(*read_stream(DIALECT, [wire(*events)]))


def deltas(*events: Any) -> list[pb.ChoiceDelta]:
    decoder, found = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for event in DIALECT.framer().feed(wire(*events)):
        decoder.decode(event, found)
    return list(found.choices)


def last(*events: Any) -> pb.ChatCompletionChunk:
    return read_stream(DIALECT, [wire(*events)])[1]


def fault(*events: Any) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        read(*events)
    return caught.value


def test_each_event_gives_one_delta_and_the_finish_waits_for_the_last_chunk() -> None:
    role = chunk(delta(role="assistant", content=""))
    events = [role, text("Hel"), text("lo"), chunk(STOP), chunk(usage=USAGE), DONE]
    assert deltas(*events) == [pb.ChoiceDelta(content="Hel"), pb.ChoiceDelta(content="lo")]
    assert last(*events) == pb.ChatCompletionChunk(
        choices=[pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP, native_finish_reason="stop")],
        usage=pb.Usage(prompt_tokens=5, completion_tokens=2, total_tokens=7),
        last=True,
    )


@pytest.mark.parametrize(
    "nothing",
    [
        chunk(),  # Azure's first one holds filter results only
        chunk(delta(role="assistant")),
        chunk(delta(role="assistant", content=None)),
        chunk(delta(content="", reasoning_content="", refusal="", tool_calls=[])),
        chunk(delta(content=[])),
        chunk({"index": 0, "delta": None, "finish_reason": None}),
        chunk({"index": 0, "finish_reason": ""}),
        chunk({"index": 0, "delta": {}, "logprobs": {"content": [], "refusal": None}}),
        chunk(usage=None),
        {"object": "chat.completion.chunk", "choices": None, "usage": USAGE},
        {"type": "ping"},
        {},
        "",
        "  ",
    ],
)
def test_an_event_without_content_appends_nothing(nothing: Any) -> None:
    assert deltas(nothing, nothing) == []
    assert read(nothing, text("a"), nothing, chunk(STOP), nothing, DONE)[0].text == "a"


def test_a_second_role_says_nothing() -> None:
    twice = chunk(delta(role="assistant", content="a"))
    assert deltas(twice, twice) == [pb.ChoiceDelta(content="a")] * 2


@pytest.mark.parametrize(
    "spelling",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_text": "hm"},
        {"reasoning": "hm", "reasoning_content": "hm", "content": ""},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_reasoning_is_one_delta_in_any_of_its_spellings(spelling: dict[str, Any]) -> None:
    assert deltas(chunk(delta(**spelling))) == [pb.ChoiceDelta(reasoning_content="hm")]


def test_text_and_reasoning_and_refusal_may_share_a_delta() -> None:
    (found,) = deltas(chunk(delta(content="a", reasoning="b", refusal="c")))
    assert found == pb.ChoiceDelta(content="a", reasoning_content="b", refusal="c")


def test_content_may_come_in_the_chunk_that_finishes() -> None:
    said = read(text("a"), chunk(delta(finish="length", content="b")))[0]
    assert (said.text, said.finish) == ("ab", "length")


def test_content_after_the_finish_word_is_not_lost_and_does_not_change_it() -> None:
    said = read(text("a"), chunk(delta(finish="length")), text("b"), chunk(STOP), DONE)[0]
    assert (said.text, said.finish, said.native) == ("ab", "length", "length")


def test_a_finish_word_may_come_twice() -> None:
    assert read(text("a"), chunk(STOP), chunk(STOP, usage=USAGE), DONE)[0].finish == "stop"


@pytest.mark.parametrize(
    "events",
    [
        [text("a"), chunk(STOP), chunk(usage=USAGE), DONE],
        [text("a"), chunk(STOP, usage=USAGE), DONE],
        [
            chunk(delta(content="a"), usage=USAGE | {"completion_tokens": 1}),
            chunk(STOP, usage=USAGE),
        ],
        [
            chunk(delta(content="a"), usage=USAGE | {"completion_tokens": None}),
            chunk(STOP, usage=USAGE),
        ],
        [text("a"), chunk(STOP, usage=USAGE), chunk(usage=None), chunk(usage={}), DONE],
        [text("a"), chunk(STOP, x_groq={"id": "r", "usage": USAGE}), DONE],
        [text("a"), chunk(STOP), {"usage": USAGE}],
        [chunk(usage=USAGE), text("a"), chunk(STOP), DONE],
    ],
)
def test_usage_is_the_last_that_came_wherever_it_came(events: list[Any]) -> None:
    wanted = pb.Usage(prompt_tokens=5, completion_tokens=2, total_tokens=7)
    assert last(*events).usage == wanted


def test_without_usage_the_last_chunk_has_none() -> None:
    assert not last(text("a"), chunk(STOP), chunk(x_groq={"id": "r"}), DONE).HasField("usage")


def test_choices_are_told_apart_and_finish_in_order() -> None:
    events = [
        chunk(delta(1, content="b"), delta(0, content="a")),
        chunk(delta(1, finish="length")),
        text("c"),
        chunk(STOP),
        DONE,
    ]
    assert [d.index for d in deltas(*events)] == [1, 0, 0]
    assert [d.index for d in last(*events).choices] == [0, 1]
    assert {i: (s.text, s.finish) for i, s in read(*events).items()} == {
        0: ("ac", "stop"),
        1: ("b", "length"),
    }


def test_a_stream_is_finished_when_every_choice_that_was_asked_for_is() -> None:
    decoder, found = DIALECT.decode_stream(2), pb.ChatCompletionChunk()
    states = []
    for body in (text("a"), chunk(STOP), text("b", 1), chunk(delta(1, finish="stop"))):
        decoder.decode(Event("", json.dumps(body).encode()), found)
        states.append((decoder.finished, is_complete(decoder), decoder.done))
    assert states == [(False, False, False)] * 3 + [(True, True, False)]


def test_done_ends_a_stream_in_which_fewer_choices_came_than_were_asked_for() -> None:
    decoder, found = DIALECT.decode_stream(2), pb.ChatCompletionChunk()
    decoder.decode(Event("", json.dumps(chunk(STOP)).encode()), found)
    assert not is_complete(decoder)
    decoder.decode(Event("", b"[DONE]"), found)
    assert len(decoder.finish().choices) == 1


def test_the_fingerprint_goes_with_every_chunk_that_says_something() -> None:
    decoder = DIALECT.decode_stream()
    found = []
    for body in (
        chunk(delta(role="assistant"), system_fingerprint="fp"),
        chunk(delta(content="a")),
        chunk(STOP),
    ):
        found.append(pb.ChatCompletionChunk())
        decoder.decode(Event("", json.dumps(body).encode()), found[-1])
    assert [one.system_fingerprint for one in found] == ["", "fp", ""]
    assert decoder.finish().system_fingerprint == "fp"


def test_log_probabilities_go_with_their_delta() -> None:
    tokens = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}
    (found,) = deltas(chunk(delta(content="a") | {"logprobs": tokens}))
    token = pb.TokenLogprob(token="a", logprob=-0.5, bytes=b"a")
    assert found == pb.ChoiceDelta(content="a", logprobs=pb.Logprobs(content=[token]))


def test_words_that_servers_add_are_ignored() -> None:
    extra = {"stop_reason": 128001, "native_finish_reason": "completed", "token_ids": None}
    message = {"message": {"role": "assistant", "content": "a"}, "text": "a", "seed": 2**63}
    events = [chunk(delta(content="a") | extra | message, obfuscation="x"), chunk(STOP | extra)]
    assert read(*events)[0] == Said("a", finish="stop", native="stop")


# What is complete, and what is a cut.


@pytest.mark.parametrize(
    "events",
    [
        [text("a"), chunk(STOP), DONE],
        [text("a"), chunk(STOP)],
        [text("a"), DONE],
        [chunk(delta(reasoning="hm")), DONE],
        [chunk(delta(refusal="no")), DONE],
        [text("a"), text("b", 1), chunk(STOP), DONE],
        [chunk(STOP)],
        [chunk(STOP), DONE],
        [text("a"), "[DONE] "],
    ],
)
def test_a_stream_is_complete_with_its_finish_words_or_with_done_after_content(
    events: list[Any],
) -> None:
    assert {said.finish for said in read(*events).values()} == {"stop"}


@pytest.mark.parametrize(
    "events",
    [
        [],
        [DONE],
        [chunk(usage=USAGE), DONE],
        [chunk(delta(role="assistant", content="")), DONE],
        [text("a")],
        [text("a"), chunk(usage=USAGE)],
        [text("a"), text("b", 1), chunk(STOP)],
        [chunk(delta(finish=""))],
    ],
)
def test_anything_else_is_truncated(events: list[Any]) -> None:
    assert fault(*events).kind is FaultKind.TRUNCATED


def test_done_without_a_finish_word_has_no_native_word() -> None:
    assert read(text("a"), DONE)[0].native == ""
    piece = {"index": 0, "id": "c", "function": {"name": "f"}}
    said = read(chunk(delta(tool_calls=[piece])), DONE)[0]
    assert (said.finish, said.native, said.calls[0].arguments) == ("tool_calls", "", "{}")


def test_after_done_nothing_is_read() -> None:
    decoder, found = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for event in DIALECT.framer().feed(wire(text("a"), DONE)):
        decoder.decode(event, found)
    assert decoder.done
    before = found.SerializeToString()
    for data in (json.dumps(text("b")).encode(), b"garbage", b'{"error":"x"}'):
        decoder.decode(Event("error", data), found)
    assert found.SerializeToString() == before
    assert is_complete(decoder)


def test_finish_can_be_asked_again_and_again() -> None:
    decoder, found = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    decoder.decode(Event("", json.dumps(chunk(STOP)).encode()), found)
    first = decoder.finish()
    decoder.decode(Event("", json.dumps(chunk(usage=USAGE)).encode()), found)
    assert decoder.finish().usage.prompt_tokens == 5
    assert not first.HasField("usage")


def test_an_error_after_the_finish_word_still_fails_the_answer() -> None:
    error = {"error": {"message": "m", "code": 500}}
    assert fault(text("a"), chunk(STOP), error, DONE).status == 500


@pytest.mark.parametrize("native", ["error", "abort", "network_error"])
def test_a_finish_word_that_is_a_failure_is_one(native: str) -> None:
    assert fault(text("a"), chunk(delta(finish=native)), DONE).kind is FaultKind.REPORTED


@pytest.mark.parametrize(
    "garbage",
    [
        "[]",
        "null",
        "17",
        '"text"',
        "{",
        "[DONE",
        "<html>",
        '{"choices":{}}',
        '{"choices":[null]}',
        '{"choices":[{"delta":"a"}]}',
        '{"choices":[{"index":"0"}]}',
        '{"choices":[{"index":-1}]}',
        '{"choices":[{"index":9999999999}]}',
        '{"choices":[{"delta":{"content":5}}]}',
        '{"choices":[{"delta":{"content":{}}}]}',
        '{"choices":[{"delta":{"content":"\\ud800"}}]}',
        '{"choices":[{"finish_reason":5}]}',
        '{"choices":[{"delta":{"tool_calls":{}}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":[]}}]}}]}',
        '{"choices":[{"delta":{"tool_calls":[{"index":0}]},"finish_reason":"stop"}]}',
        '{"choices":[{"logprobs":{"content":[{"token":"a","bytes":[256]}]}}]}',
        '{"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":1}}',
        '{"choices":[],"usage":{"prompt_tokens":99999999999,"completion_tokens":1}}',
        '{"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":5}]}}]}',
        '{"choices":' + "[" * 100_000,
    ],
)
def test_garbage_is_malformed(garbage: str) -> None:
    assert fault(text("a"), garbage, DONE).kind is FaultKind.MALFORMED


def test_text_that_is_not_utf8_is_malformed() -> None:
    with pytest.raises(ProviderFault) as caught:
        read_stream(DIALECT, [b'data: {"choices":[{"delta":{"content":"\xe2\x82"}}]}\n\n'])
    assert caught.value.kind is FaultKind.MALFORMED


def test_a_detail_in_the_logs_never_quotes_the_answer() -> None:
    for garbage in (
        '{"choices":[{"delta":{"content":"words","index":0,"tool_calls":"words"}}]}',
        "words",
    ):
        assert "words" not in fault(garbage).detail


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_EVENTS = st.lists(
    st.one_of(
        st.builds(text, _TEXT, st.integers(0, 2)),
        st.builds(lambda t: chunk(delta(reasoning_content=t)), _TEXT),
        st.builds(lambda t: chunk(delta(0, content=t), delta(1, refusal=t)), _TEXT),
        st.sampled_from(
            [chunk(), chunk(usage=USAGE), chunk(STOP), chunk(delta(1, finish="length"))]
        ),
    ),
    max_size=8,
)


@given(events=_EVENTS, cuts=st.lists(st.integers(0, 3000), max_size=6), end=st.sampled_from("\r\n"))
@settings(deadline=None, max_examples=150)
def test_any_split_of_the_bytes_gives_the_same_deltas(
    events: list[Any], cuts: list[int], end: str
) -> None:
    stream = wire(*events, text("x"), DONE).replace(b"\n", end.encode())
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert read_stream(DIALECT, pieces) == read_stream(DIALECT, [stream])


def test_it_counts_the_text_that_its_deltas_have() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "find", "arguments": '{"a":'}}
    late = {"index": 0, "function": {"arguments": '{"b":1}'}}
    events = (
        text("Grüße"),
        chunk(delta(content="both", reasoning_content="at once"), delta(1, content="other")),
        chunk(delta(refusal="no")),
        chunk(delta(tool_calls=[call])),
        chunk(delta(1, function_call={"name": "old", "arguments": "{}"})),
        chunk(delta(), delta(1, content="")),
        chunk(delta(tool_calls=[late])),
        chunk(delta(1, finish="stop", content="last words")),
        DONE,
    )
    decoder, found = DIALECT.decode_stream(2), pb.ChatCompletionChunk()
    for event in DIALECT.framer().feed(wire(*events)):
        decoder.decode(event, found)
        assert decoder.characters == sum(map(delta_characters, found.choices))
    assert decoder.characters is not None
    assert decoder.characters > 40
