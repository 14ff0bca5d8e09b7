from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.dialects.gemini import GeminiDialect
from tests.unit.service.providers.dialects.reading import Said, fold, is_complete, read_stream

DIALECT = GeminiDialect()


def piece(*parts: dict[str, Any], finish: Any = None, index: int = 0, **fields: Any) -> Any:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "responseId": "r1", **fields}


def used(**counts: int) -> Any:
    return {"usageMetadata": counts}


def sse(*responses: Any) -> bytes:
    return b"".join(b"data: %s\r\n\r\n" % json.dumps(each).encode() for each in responses)


def read(*responses: Any) -> tuple[dict[int, Said], pb.ChatCompletionChunk]:
    chunk, last = read_stream(DIALECT, [sse(*responses)])
    return fold(chunk, last), last


def fed(*responses: Any, choices: int = 1) -> Any:
    decoder = DIALECT.decode_stream(choices)
    for each in responses:
        decoder.decode(Event("", json.dumps(each).encode()), pb.ChatCompletionChunk())
    return decoder


def failed(*responses: Any) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        fed(*responses)
    return caught.value


def test_text_and_thoughts_come_in_pieces() -> None:
    said, _ = read(
        piece({"text": "Hm", "thought": True}),
        piece({"text": ".", "thought": True}, {"text": "Yes"}),
        piece({"text": ", sir."}, finish="STOP"),
    )
    assert (said[0].reasoning, said[0].text) == ("Hm.", "Yes, sir.")
    assert (said[0].finish, said[0].native) == ("stop", "STOP")


def test_calls_are_numbered_over_all_pieces_and_each_comes_whole() -> None:
    said, _ = read(
        piece({"text": "Wait."}, {"functionCall": {"name": "f", "args": {"a": 1}}}),
        piece({"functionCall": {"name": "g", "id": "x"}, "thoughtSignature": "czI="}),
        piece({"text": ""}, finish="STOP"),
    )
    first, second = said[0].calls
    assert (first.name, first.arguments, first.state) == ("f", '{"a":1}', b"")
    assert (second.id, second.name, second.arguments) == ("x", "g", "{}")
    assert second.state == b'{"gemini":{"signature":"czI="}}\n'
    assert said[0].finish == "tool_calls"


def test_a_signature_on_an_empty_text_knows_its_place_in_the_whole_text() -> None:
    said, _ = read(
        piece({"text": "Pea"}),
        piece({"text": "rs!"}),
        piece({"text": "", "thoughtSignature": "czE="}, finish="STOP"),
    )
    assert said[0].state == b'{"gemini":{"signature":"czE=","start":6}}\n'


def test_a_streamed_answer_goes_back_with_every_signature_on_its_own_part() -> None:
    said, _ = read(
        piece({"text": "T", "thought": True, "thoughtSignature": "dA=="}),
        piece({"text": "ab"}),
        piece({"text": "cd", "thoughtSignature": "czE="}),
        piece({"functionCall": {"name": "f", "id": "c"}, "thoughtSignature": "czI="}),
        piece({"text": "", "thoughtSignature": "czM="}, finish="STOP"),
    )
    (only,) = said[0].calls
    message = pb.Message(
        role=pb.ROLE_ASSISTANT,
        content=[pb.ContentPart(text=said[0].text)],
        reasoning_content=said[0].reasoning,
        provider_state=said[0].state,
        tool_calls=[
            pb.ToolCall(
                id=only.id, name=only.name, arguments=only.arguments, provider_state=only.state
            )
        ],
    )
    request = pb.ChatCompletionRequest(messages=[message])
    body = json.loads(DIALECT.encode(request, "gemini-3.5-flash", stream=True).body)
    assert body["contents"][0]["parts"] == [
        {"text": "T", "thought": True, "thoughtSignature": "dA=="},
        {"text": "ab"},
        {"text": "cd", "thoughtSignature": "czE="},
        {"functionCall": {"name": "f", "args": {}, "id": "c"}, "thoughtSignature": "czI="},
        {"text": "", "thoughtSignature": "czM="},
    ]


def test_usage_is_cumulative_and_the_last_counts() -> None:
    _, last = read(
        piece({"text": "a"}, **used(promptTokenCount=5, thoughtsTokenCount=3)),
        piece({"text": "b"}, **used(promptTokenCount=5, candidatesTokenCount=1)),
        piece(finish="STOP", **used(promptTokenCount=9, candidatesTokenCount=2)),
    )
    assert last.usage == pb.Usage(
        prompt_tokens=9, completion_tokens=5, total_tokens=14, reasoning_tokens=3
    )


def test_usage_may_come_after_the_finish_reason() -> None:
    said, last = read(
        piece({"text": "a"}, finish="MAX_TOKENS"),
        used(promptTokenCount=5, candidatesTokenCount=1),
    )
    assert said[0].finish == "length"
    assert last.usage.total_tokens == 6


def test_a_stream_without_usage_tells_none() -> None:
    _, last = read(piece({"text": "a"}, finish="STOP"))
    assert not last.HasField("usage")


def test_there_is_no_sentinel_so_the_stream_is_finished_but_never_done() -> None:
    decoder = fed(piece({"text": "a"}))
    assert not decoder.finished
    assert not is_complete(decoder)
    decoder = fed(piece({"text": "a"}), piece(finish="STOP"), used(promptTokenCount=1))
    assert decoder.finished
    assert not decoder.done
    assert is_complete(decoder)


@pytest.mark.parametrize("reason", ["FINISH_REASON_UNSPECIFIED", 0, ""])
def test_a_finish_reason_that_is_not_set_does_not_end_a_stream(reason: Any) -> None:
    decoder = fed(piece({"text": "a"}, finish=reason))
    assert not decoder.finished
    assert not is_complete(decoder)


def test_every_candidate_has_to_finish() -> None:
    begun = [piece({"text": "a"}), piece({"text": "b"}, index=1)]
    assert not fed(*begun, piece(finish="STOP")).finished
    assert not is_complete(fed(*begun, piece(finish="STOP")))
    said, _ = read(*begun, piece(finish="STOP"), piece({"text": "c"}, finish="SAFETY", index=1))
    assert (said[0].text, said[0].finish) == ("a", "stop")
    assert (said[1].text, said[1].finish) == ("bc", "content_filter")


def test_a_stream_that_owes_a_candidate_is_not_complete() -> None:
    decoder = fed(piece({"text": "a"}, finish="STOP"), choices=2)
    assert not decoder.finished
    assert not is_complete(decoder)


def test_candidates_of_one_event_are_told_apart() -> None:
    both = [piece({"text": "a"}, finish="STOP"), piece({"text": "b"}, finish="STOP", index=1)]
    said, _ = read({"candidates": [each["candidates"][0] for each in both]})
    assert [said[index].text for index in (0, 1)] == ["a", "b"]


def test_a_blocked_prompt_ends_a_stream_with_an_empty_answer() -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    assert fed(blocked, choices=2).finished
    said, last = read(blocked | used(promptTokenCount=4))
    assert said == {0: Said(finish="content_filter", native="PROHIBITED_CONTENT")}
    assert last.usage.prompt_tokens == 4


def test_a_breakdown_is_told_before_what_shares_its_event() -> None:
    broken = piece({"text": "a"}, finish="MALFORMED_FUNCTION_CALL")
    chunk = pb.ChatCompletionChunk()
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode_stream().decode(Event("", json.dumps(broken).encode()), chunk)
    assert caught.value.kind is FaultKind.REPORTED
    assert not chunk.choices


def test_a_breakdown_in_the_middle_is_a_fault_too() -> None:
    fault = failed(piece({"text": "a"}), piece(finish="UNEXPECTED_TOOL_CALL"))
    assert fault.kind is FaultKind.REPORTED


def test_an_error_in_the_middle_is_classified_by_its_codes() -> None:
    error = {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}
    fault = failed(piece({"text": "a"}), {"error": error})
    assert (fault.kind, fault.status, fault.told) == (FaultKind.STATUS, 503, "Overloaded.")


def test_an_event_that_says_nothing_new_brings_nothing() -> None:
    decoder, chunk = DIALECT.decode_stream(), pb.ChatCompletionChunk()
    for data in (b"", b" ", b"[DONE]", b"{}", b'{"candidates":[]}', b'{"modelVersion":"x"}'):
        decoder.decode(Event("", data), chunk)
    decoder.decode(Event("", json.dumps(piece()).encode()), chunk)
    decoder.decode(Event("", json.dumps(piece({"text": ""})).encode()), chunk)
    assert not chunk.choices
    assert not is_complete(decoder)


def test_log_probabilities_ride_on_the_text_they_belong_to() -> None:
    tokens = {"chosenCandidates": [{"token": "a", "logProbability": -1.0}]}
    response = piece({"text": "a"})
    response["candidates"][0]["logprobsResult"] = tokens
    chunk = pb.ChatCompletionChunk()
    DIALECT.decode_stream().decode(Event("", json.dumps(response).encode()), chunk)
    (delta,) = chunk.choices
    assert delta.content == "a"
    assert [token.logprob for token in delta.logprobs.content] == [-1.0]
