from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.ollama import OllamaDialect
from tests.unit.service.providers.dialects.reading import (
    Call,
    Said,
    fold,
    is_complete,
    read_stream,
    whole,
)

DIALECT = OllamaDialect()
COUNTS = {"prompt_eval_count": 5, "eval_count": 2}


def answer(message: dict[str, Any], **more: Any) -> bytes:
    line = {"created_at": "t", "message": {"role": "assistant", **message}, "done": True, **more}
    return json.dumps(line).encode()


def read(body: bytes) -> Said:
    (said,) = whole(DIALECT.decode(body)).values()
    return said


def lines(*messages: dict[str, Any], **last: Any) -> bytes:
    pieces = [answer(message, done=False) for message in messages]
    pieces.append(answer({"content": ""}, **({"done_reason": "stop"} | last)))
    return b"\n".join(pieces) + b"\n"


def stream(body: bytes) -> tuple[Said, pb.ChatCompletionChunk]:
    chunk, last = read_stream(DIALECT, [body])
    (said,) = fold(chunk, last).values()
    return said, last


def test_thinking_is_reasoning() -> None:
    message = {"content": "4", "thinking": "2+2"}
    for said in (read(answer(message)), stream(lines(message))[0]):
        assert (said.text, said.reasoning) == ("4", "2+2")


def test_arguments_become_text_with_their_digits_and_their_order() -> None:
    call = b'{"function":{"name":"f","arguments":{"z" : 12345678901234567890123, "a":1.10}}}'
    body = b'{"message":{"content":"","tool_calls":[%s]},"done":true}' % call
    text = '{"z":12345678901234567890123,"a":1.10}'
    assert [call.arguments for call in read(body).calls] == [text]
    assert [call.arguments for call in stream(body + b"\n")[0].calls] == [text]


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_calls_are_counted_here_whatever_their_index(index: dict[str, int]) -> None:
    calls = [
        {"function": {**index, "name": name, "arguments": {"n": n}}}
        for n, name in enumerate(("look", "look", "leap"))
    ]
    together = stream(lines({"tool_calls": calls}))[0]
    apart = stream(lines(*({"tool_calls": [call]} for call in calls)))[0]
    for said in (together, apart, read(answer({"tool_calls": calls}))):
        assert [call.name for call in said.calls] == ["look", "look", "leap"]
        assert [call.arguments for call in said.calls] == ['{"n":0}', '{"n":1}', '{"n":2}']
        assert len({call.id for call in said.calls}) == 3
        assert said.finish == "tool_calls"


def test_an_id_is_kept_and_one_that_is_missing_or_taken_is_made_up() -> None:
    calls = [{"id": given, "function": {"name": "f"}} for given in ("call_1", "call_1", None)]
    for said in (read(answer({"tool_calls": calls})), stream(lines({"tool_calls": calls}))[0]):
        first, second, third = (call.id for call in said.calls)
        assert first == "call_1"
        assert len({first, second, third}) == 3 and second and third


def test_made_up_ids_differ_between_answers_but_not_between_readings_of_one() -> None:
    message = {"tool_calls": [{"function": {"name": "f"}}]}
    one, same, other = (
        read(answer(message, created_at=time)).calls[0].id for time in ("t1", "t1", "t2")
    )
    assert one == same != other


def test_no_arguments_are_an_empty_object() -> None:
    for given in ("{}", '{"arguments":{}}', '{"arguments":null}', '{"arguments":" "}'):
        call = {"id": "c", "function": {"name": "f", **json.loads(given)}}
        wanted = [Call("c", "f", "{}")]
        assert read(answer({"tool_calls": [call]})).calls == wanted
        assert stream(lines({"tool_calls": [call]}))[0].calls == wanted


@pytest.mark.parametrize(
    ("native", "finish"),
    [("stop", "stop"), ("length", "length"), ("soul_searching", "stop"), ("", "stop")],
)
def test_every_reason_is_mapped_and_carried(native: str, finish: str) -> None:
    said = read(answer({"content": "a"}, done_reason=native))
    assert (said.finish, said.native) == (finish, native)
    said, _ = stream(lines({"content": "a"}, done_reason=native))
    assert (said.finish, said.native) == (finish, native)


def test_a_call_does_not_override_a_limit() -> None:
    message = {"tool_calls": [{"function": {"name": "f"}}]}
    assert read(answer(message, done_reason="length")).finish == "length"
    assert stream(lines(message, done_reason="length"))[0].finish == "length"


@pytest.mark.parametrize("native", ["load", "unload"])
def test_a_model_that_was_loaded_or_unloaded_gave_no_answer(native: str) -> None:
    body = answer({"content": ""}, done_reason=native)
    with pytest.raises(ProviderFault) as unary:
        DIALECT.decode(body)
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    (event,) = DIALECT.framer().feed(body + b"\n")
    with pytest.raises(ProviderFault) as streamed:
        decoder.decode(event, chunk)
    for fault in (unary.value, streamed.value):
        assert (fault.kind, fault.status) == (FaultKind.STATUS, 503)
    assert not chunk.choices and not decoder.done and not is_complete(decoder)


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        (COUNTS, (5, 2, 0)),
        ({**COUNTS, "prompt_eval_cached_count": 4}, (5, 2, 4)),
        ({**COUNTS, "prompt_eval_cached_count": 9}, (5, 2, 5)),
        ({**COUNTS, "eval_count": 0}, (5, 0, 0)),
        ({"eval_count": 2}, None),
        ({"prompt_eval_count": 5}, None),
        ({"prompt_eval_count": 0, "eval_count": 2}, None),
        ({}, None),
    ],
)
def test_usage_is_told_where_both_counts_are(
    counts: dict[str, int], wanted: tuple[int, ...] | None
) -> None:
    completion = DIALECT.decode(answer({"content": "a"}, **counts))
    _, last = stream(lines({"content": "a"}, **counts))
    for told in (completion, last):
        assert told.HasField("usage") == (wanted is not None)
        usage = told.usage
        found = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
        assert found == (wanted or (0, 0, 0))
        assert usage.total_tokens == sum(found[:2])


TOKENS = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b"}]}]


def test_log_probabilities_of_text_are_passed_on() -> None:
    completion = DIALECT.decode(answer({"content": "a"}, logprobs=TOKENS))
    body = answer({"content": "a"}, logprobs=TOKENS, done=False) + b"\n" + lines()
    chunk, _ = read_stream(DIALECT, [body])
    for logprobs in (completion.choices[0].logprobs, chunk.choices[0].logprobs):
        (token,) = logprobs.content
        assert (token.token, token.logprob, token.bytes) == ("a", -0.5, b"a")
        assert [top.token for top in token.top_logprobs] == ["b"]


@pytest.mark.parametrize(
    "message", [{"thinking": "hm"}, {"tool_calls": [{"function": {"name": "f"}}]}]
)
def test_log_probabilities_that_are_not_the_texts_are_left_out(message: dict[str, Any]) -> None:
    completion = DIALECT.decode(answer({"content": "a", **message}, logprobs=TOKENS))
    assert not completion.choices[0].HasField("logprobs")
    chunk, _ = read_stream(DIALECT, [answer(message, logprobs=TOKENS) + b"\n"])
    assert not any(delta.HasField("logprobs") for delta in chunk.choices)


def test_a_line_brings_at_most_a_delta_for_each_kind() -> None:
    message = {"thinking": "h", "content": "a", "tool_calls": [{"function": {"name": "f"}}]}
    chunk, _ = read_stream(DIALECT, [answer(message) + b"\n"])
    assert len(chunk.choices) == 3


def test_an_empty_answer_is_an_empty_text_and_not_none() -> None:
    assert len(DIALECT.decode(answer({"content": ""})).choices[0].message.content) == 1
    message = {"content": "", "tool_calls": [{"function": {"name": "f"}}]}
    assert not DIALECT.decode(answer(message)).choices[0].message.content


def test_an_empty_stream_that_is_done_is_complete() -> None:
    said, last = stream(lines(**COUNTS))
    assert (said.text, said.finish, last.usage.prompt_tokens) == ("", "stop", 5)


@pytest.mark.parametrize(
    ("error", "kind", "status", "told"),
    [
        ({"error": "it broke"}, FaultKind.REPORTED, None, "it broke"),
        ({"error": "it broke", "status": 500}, FaultKind.STATUS, 500, "it broke"),
        ({"error": "too long", "status": 400}, FaultKind.REJECTED, 400, "too long"),
        ({"error": "busy", "status": 429}, FaultKind.STATUS, 429, "busy"),
        ({"error": {"message": "x", "code": 503}}, FaultKind.STATUS, 503, "x"),
        ({"error": ["x"], "status": "?"}, FaultKind.REPORTED, None, "x"),
    ],
)
def test_an_error_where_an_answer_should_be_is_a_fault_by_its_status(
    error: dict[str, Any], kind: FaultKind, status: int | None, told: str
) -> None:
    body = json.dumps(error).encode()
    with pytest.raises(ProviderFault) as unary:
        DIALECT.decode(body)
    with pytest.raises(ProviderFault) as streamed:
        read_stream(DIALECT, [answer({"content": "a"}, done=False) + b"\n" + body + b"\n"])
    for fault in (unary.value, streamed.value):
        assert (fault.kind, fault.status, fault.told) == (kind, status, told)


def test_the_message_of_an_http_error_is_found() -> None:
    assert DIALECT.decode_error(404, b'{"error":"model \'x\' not found"}') == "model 'x' not found"
    assert DIALECT.decode_error(502, b"<html>") == ""


def test_a_stream_that_is_cut_anywhere_is_never_complete() -> None:
    body = lines({"thinking": "h"}, {"content": "a"}, {"content": "b"}, **COUNTS)
    for cut in range(len(body) - 1):  # the last byte is the line feed, which may be missing
        framer, decoder = DIALECT.framer(), DIALECT.decode_stream()
        for event in [*framer.feed(body[:cut]), *framer.end()]:
            decoder.decode(event, pb.ChatCompletionChunk())
        assert is_complete(decoder) == decoder.finished == decoder.done == (cut == len(body) - 1)


def test_the_last_line_needs_no_line_feed() -> None:
    assert stream(lines({"content": "a"})[:-1])[0].text == "a"


def test_nothing_is_read_after_the_line_that_is_done() -> None:
    body = lines({"content": "a"}) + answer({"content": "b"}) + b'\n{"error":"x"}\nnonsense\n'
    assert stream(body)[0].text == "a"


def test_lines_and_fields_that_nobody_knows_are_survived() -> None:
    news = b'{}\n{"status":"pulling"}\n{"message":{"content":"a","mood":{}},"done":false,"x":[]}\n'
    assert stream(news + lines())[0].text == "a"


def test_a_whole_answer_that_is_not_done_is_cut() -> None:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(answer({"content": "a"}, done=False))
    assert caught.value.kind is FaultKind.TRUNCATED


def test_a_whole_answer_in_openais_form_is_read_as_what_it_is() -> None:
    choice = {"index": 0, "message": {"content": "a"}, "finish_reason": "length"}
    said = read(json.dumps({"object": "chat.completion", "choices": [choice]}).encode())
    assert (said.text, said.finish) == ("a", "length")


@pytest.mark.parametrize(
    "line", [b"nonsense", b"null", b"[]", b'{"message":5}', b'{"done":"yes"}', b'data: {"a":1}']
)
def test_a_line_that_is_garbage_is_malformed(line: bytes) -> None:
    with pytest.raises(ProviderFault) as caught:
        read_stream(DIALECT, [line + b"\n"])
    assert caught.value.kind is FaultKind.MALFORMED
