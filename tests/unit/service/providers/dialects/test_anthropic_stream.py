"""A streamed answer of the Messages API, event by event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.anthropic import AnthropicDialect
from service.providers.dialects.dialect import Event, StreamDecoder
from tests.unit.service.providers.dialects.reading import Call, Said, fold, is_complete

DIALECT = AnthropicDialect()
PING = {"type": "ping"}
STOP = {"type": "message_stop"}


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"content": [], "usage": usage or None}}


def begin(number: int, kind: str, **block: Any) -> dict[str, Any]:
    return {
        "type": "content_block_start",
        "index": number,
        "content_block": {"type": kind, **block},
    }


def delta(number: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": number,
        "delta": {"type": f"{kind}_delta", **fields},
    }


def end(number: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": number}


def because(reason: str | None, usage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **more}, "usage": usage}


def text(value: str, number: int = 0) -> list[dict[str, Any]]:
    return [begin(number, "text", text=""), delta(number, "text", text=value), end(number)]


def call(number: int, *pieces: str, **more: Any) -> list[dict[str, Any]]:
    block = {"id": f"toolu_{number}", "name": "look", "input": {}, **more}
    return [
        begin(number, "tool_use", **block),
        *(delta(number, "input_json", partial_json=piece) for piece in pieces),
        end(number),
    ]


def decoder_after(*events: Any) -> tuple[StreamDecoder, pb.ChatCompletionChunk]:
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for event in events:
        decoder.decode(event if isinstance(event, Event) else as_event(event), chunk)
    return decoder, chunk


def as_event(event: dict[str, Any]) -> Event:
    name = event.get("type", "")
    return Event(name if isinstance(name, str) else "", json.dumps(event).encode())


def read(*events: Any) -> tuple[Said, pb.ChatCompletionChunk]:
    decoder, chunk = decoder_after(*events)
    last = decoder.finish()
    (said,) = fold(chunk, last).values()
    return said, last


def fault(*events: Any) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        decoder_after(*events)
    return caught.value


def test_text_comes_delta_by_delta_and_nothing_else_makes_one() -> None:
    _, chunk = decoder_after(
        start(input_tokens=1),
        PING,
        begin(0, "text", text=""),
        delta(0, "text", text="a"),
        delta(0, "text", text=""),
        delta(0, "text", text="b"),
        end(0),
        because("end_turn"),
        STOP,
    )
    assert [delta.content for delta in chunk.choices] == ["a", "b"]


def test_finish_reason_and_usage_leave_together_in_the_last_chunk() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2}
    said, last = read(start(), *text("a"), because("end_turn", usage), STOP)
    assert said == Said("a", finish="stop", native="end_turn")
    assert last.usage == pb.Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)


def test_calls_have_an_own_counter_whatever_the_blocks_numbers_are() -> None:
    said, _ = read(
        *text("a"),
        *call(1, '{"at"', ': "x"}'),
        *text("b", 2),
        *call(5, '{"at": 1}'),
        because("tool_use"),
        STOP,
    )
    assert said.text == "ab" and said.finish == "tool_calls"
    assert said.calls == [
        Call("toolu_1", "look", '{"at": "x"}'),
        Call("toolu_5", "look", '{"at": 1}'),
    ]


def test_pieces_of_calls_may_take_turns() -> None:
    (first, a, end_first), (second, b, end_second) = call(0, "[1]"), call(1, "[2]")
    said, _ = read(first, second, b, a, end_second, end_first, because("tool_use"), STOP)
    assert [call.arguments for call in said.calls] == ["[1]", "[2]"]


@pytest.mark.parametrize("pieces", [(), ("",), ("", "")])
def test_a_call_without_input_has_an_empty_object(pieces: tuple[str, ...]) -> None:
    said, _ = read(*call(0, *pieces), because("tool_use"), STOP)
    assert said.calls == [Call("toolu_0", "look", "{}")]


def test_input_that_came_with_the_blocks_start_counts_unless_pieces_follow() -> None:
    said, _ = read(*call(0, input={"a": 1}), because("tool_use"), STOP)
    assert said.calls[0].arguments == '{"a":1}'
    said, _ = read(*call(0, '{"b": 2}', input={"a": 1}), because("tool_use"), STOP)
    assert said.calls[0].arguments == '{"b": 2}'


def test_a_call_whose_block_never_ends_is_ended_by_the_stop_reason() -> None:
    said, _ = read(call(0)[0], because("tool_use"))
    assert said.calls == [Call("toolu_0", "look", "{}")]


@pytest.mark.parametrize(
    ("pieces", "given", "wanted"),
    [(['{"a":', "1}"], {}, '{"a":1}'), ([], {"a": 1}, '{"a":1}'), ([], {}, "{}")],
)
def test_an_answer_by_a_call_is_text_and_a_stop(
    pieces: list[str], given: dict[str, Any], wanted: str
) -> None:
    answer = call(0, *pieces, name=ANSWER_TOOL, input=given)
    said, _ = read(start(), *answer, because("tool_use"), STOP)
    assert (said.text, said.calls, said.finish) == (wanted, [], "stop")
    cut, _ = read(start(), *answer, because("max_tokens"), STOP)
    assert cut.finish == "length"


def test_the_callers_call_beside_an_answer_by_a_call_is_a_call() -> None:
    answer = call(0, '{"a":1}', name=ANSWER_TOOL)
    said, _ = read(start(), *answer, *call(1, "{}"), because("tool_use"), STOP)
    assert said.text == '{"a":1}'
    assert ([made.id for made in said.calls], said.finish) == (["toolu_1"], "tool_calls")


def test_thinking_is_reasoning_at_once_and_state_at_the_end() -> None:
    events = [
        begin(0, "thinking", thinking="", signature=""),
        delta(0, "thinking", thinking="h"),
        delta(0, "thinking", thinking="m"),
        delta(0, "signature", signature="sig"),
        end(0),
        begin(1, "redacted_thinking", data="xyz"),
        end(1),
        *text("é!", 2),
        begin(3, "thinking", thinking="", signature=""),
        delta(3, "signature", signature="gis"),
        end(3),
        *call(4),
    ]
    _, chunk = decoder_after(*events)
    assert not any(delta.provider_state for delta in chunk.choices)
    said, _ = read(*events, because("tool_use"), STOP)
    assert (said.reasoning, said.text) == ("hm", "é!")
    assert [json.loads(line)["anthropic"] for line in said.state.splitlines()] == [
        {"at": [0, 0], "block": {"type": "thinking", "thinking": "hm", "signature": "sig"}},
        {"at": [0, 0], "block": {"type": "redacted_thinking", "data": "xyz"}},
        {"at": [2, 0], "block": {"type": "thinking", "thinking": "", "signature": "gis"}},
    ]


def test_thinking_that_was_cut_off_before_its_signature_is_no_state() -> None:
    events = [begin(0, "thinking", thinking="", signature=""), delta(0, "thinking", thinking="h")]
    said, _ = read(*events, because("max_tokens"), STOP)
    assert (said.reasoning, said.state, said.finish) == ("h", b"", "length")


def test_what_a_block_holds_from_its_start_is_not_lost() -> None:
    said, _ = read(
        begin(0, "thinking", thinking="h", signature="s"),
        delta(0, "thinking", thinking="m"),
        begin(1, "text", text="a"),
        delta(1, "text", text="b"),
        because("end_turn"),
    )
    assert (said.reasoning, said.text) == ("hm", "ab")
    assert json.loads(said.state)["anthropic"]["block"]["thinking"] == "hm"


def test_server_tools_and_citations_do_not_leak() -> None:
    result = [{"type": "web_search_result", "title": "t", "encrypted_content": "x", "text": "no"}]
    said, _ = read(
        begin(0, "server_tool_use", id="srv_1", name="web_search", input={}),
        delta(0, "input_json", partial_json='{"query": "x"}'),
        end(0),
        begin(1, "web_search_tool_result", tool_use_id="srv_1", content=result),
        end(1),
        begin(2, "text", text="", citations=[]),
        delta(2, "citations", citation={"type": "web", "cited_text": "no", "text": {}}),
        delta(2, "text", text="yes"),
        end(2),
        begin(3, "a kind of tomorrow", text={"not": "text"}),
        delta(3, "a kind of tomorrow", text={"not": "text"}),
        end(3),
        because("end_turn"),
        STOP,
    )
    assert said == Said("yes", finish="stop", native="end_turn")


def test_later_usage_replaces_earlier_usage_figure_by_figure() -> None:
    _, last = read(
        start(input_tokens=10, cache_read_input_tokens=5, output_tokens=1),
        *text("a"),
        because(None, {"output_tokens": 4, "cache_creation_input_tokens": 7}),
        because("end_turn", {"input_tokens": 12, "output_tokens": 6}),
        STOP,
    )
    assert last.usage == pb.Usage(
        prompt_tokens=24,
        completion_tokens=6,
        total_tokens=30,
        cached_tokens=5,
        cache_write_tokens=7,
    )


def test_what_the_start_says_of_the_output_is_not_the_answers() -> None:
    _, last = read(start(input_tokens=10, output_tokens=1), *text("a"), because("end_turn"), STOP)
    assert not last.HasField("usage")


def test_the_latest_stop_reason_counts_and_none_is_no_reason() -> None:
    decoder, _ = decoder_after(*text("a"), because(None))
    assert not decoder.finished
    said, _ = read(*text("a"), because("pause_turn"), because("end_turn"), because(None), STOP)
    assert said.native == "end_turn"


def test_a_refusal_says_why_before_the_last_chunk() -> None:
    details = {"type": "refusal", "explanation": "Not this."}
    said, _ = read(start(), because("refusal", stop_details=details), STOP)
    assert (said.refusal, said.finish, said.native) == ("Not this.", "content_filter", "refusal")


def test_message_stop_is_the_end_and_nothing_after_it_is_read() -> None:
    done = Event("data", b"[DONE]")
    decoder, chunk = decoder_after(*text("a"), because("end_turn"), STOP, done, *text("b"))
    assert decoder.done and decoder.finished
    assert [delta.content for delta in chunk.choices] == ["a"]


def test_a_known_stop_reason_is_enough_and_an_end_without_one_is_not() -> None:
    complete, _ = decoder_after(*text("a"), because("end_turn"))
    assert not complete.done and is_complete(complete)
    for cut in ([], [start()], text("a"), [*text("a"), *call(1, "{}")]):
        decoder, _ = decoder_after(*cut)
        assert not is_complete(decoder)


@pytest.mark.parametrize("terminal", [STOP, Event("", b"[DONE]"), Event("", b" [DONE] ")])
def test_a_terminal_event_after_content_is_a_stop_and_without_any_a_cut(terminal: Any) -> None:
    said, _ = read(*text("a"), terminal)
    assert (said.finish, said.native) == ("stop", "")
    said, _ = read(*call(0), terminal)
    assert (said.finish, said.calls[0].arguments) == ("tool_calls", "{}")
    decoder, _ = decoder_after(start(), terminal)
    assert decoder.done and not is_complete(decoder)


@pytest.mark.parametrize(
    "event",
    [
        PING,
        Event("ping", b""),
        Event("", b" "),
        {"type": "an event of tomorrow", "index": "x", "delta": [1], "usage": 5},
        {"type": "content_block_start", "index": 7, "content_block": None},
        {"type": "content_block_delta", "index": 7, "delta": None},
        delta(7, "input_json", partial_json="{}"),
        delta(7, "signature", signature="x"),
        end(7),
        {},
    ],
    ids=str,
)
def test_an_event_that_is_nothing_to_us_is_survived_anywhere(event: Any) -> None:
    plain = [start(), *text("a"), because("end_turn"), STOP]
    for place in range(len(plain)):
        said, _ = read(*plain[:place], event, *plain[place:])
        assert said == Said("a", finish="stop", native="end_turn")


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [
        ("overloaded_error", FaultKind.STATUS, 529),
        ("rate_limit_error", FaultKind.STATUS, 429),
        ("api_error", FaultKind.STATUS, 500),
        ("invalid_request_error", FaultKind.REJECTED, 400),
        ("a word of tomorrow", FaultKind.REPORTED, None),
    ],
)
def test_an_error_event_ends_the_stream_at_any_time(
    named: bool, word: str, kind: FaultKind, status: int | None
) -> None:
    body = {"type": "error", "error": {"type": word, "message": "Overloaded"}}
    event = Event("error" if named else "", json.dumps(body).encode())
    for before in ([], [start()], text("a"), [*text("a"), because("end_turn")]):
        found = fault(*before, event)
        assert (found.kind, found.status, found.told) == (kind, status, "Overloaded")


@pytest.mark.parametrize("data", [b"", b"Overloaded", b"null", b'{"error": "Overloaded"}', b"[1]"])
def test_an_event_called_an_error_is_one_whatever_it_looks_like(data: bytes) -> None:
    found = fault(Event("error", data))
    assert found.kind is FaultKind.REPORTED
    assert found.told in ("", "Overloaded")


@pytest.mark.parametrize(
    "event",
    [
        Event("", b"{"),
        Event("", b"null"),
        Event("", b'"text"'),
        Event("", b"<html>"),
        {"type": 5},
        {"type": "message_delta", "delta": {"stop_reason": 5}},
        {"type": "message_start", "message": {"usage": {"input_tokens": 1.5}}},
        begin(0, "text", text=5),
        begin(0, "tool_use", id="a", input={}),
        begin(0, "tool_use", id="a", name="b", input="{}"),
        delta(0, "text", text=5),
        {"type": "content_block_start", "index": 0, "content_block": "text"},
    ],
    ids=str,
)
def test_garbage_is_malformed(event: Any) -> None:
    assert fault(start(), event).kind is FaultKind.MALFORMED
