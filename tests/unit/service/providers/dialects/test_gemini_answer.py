from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.gemini import GeminiDialect
from tests.unit.service.providers.dialects.reading import Said, whole

DEVELOPER = GeminiDialect()
VERTEX = GeminiDialect(vertex=True, project="p")


def decode(body: Any, dialect: GeminiDialect = DEVELOPER) -> pb.ChatCompletion:
    return dialect.decode(json.dumps(body).encode())


def candidate(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", **fields}


def answered(*parts: dict[str, Any], **fields: Any) -> pb.ChatCompletion:
    return decode({"candidates": [candidate(*parts, **fields)], "responseId": "r1"})


def said(*parts: dict[str, Any], **fields: Any) -> Said:
    return whole(answered(*parts, **fields))[0]


def failed(body: Any, dialect: GeminiDialect = DEVELOPER) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        decode(body, dialect)
    return caught.value


def call(name: str, **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **fields}}


def test_an_answer_is_its_text_and_what_it_used() -> None:
    answer = decode(
        {
            "candidates": [candidate({"text": "Hi "}, {"text": "you."}, index=0)],
            "usageMetadata": {
                "promptTokenCount": 7,
                "candidatesTokenCount": 2,
                "totalTokenCount": 9,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
            },
            "modelVersion": "gemini-x",
            "responseId": "r1",
            "somethingNew": {"a": [1]},
        }
    )
    assert answer == pb.ChatCompletion(
        choices=[
            pb.Choice(
                message=pb.Message(
                    role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="Hi you.")]
                ),
                finish_reason=pb.FINISH_REASON_STOP,
                native_finish_reason="STOP",
            )
        ],
        usage=pb.Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9),
    )


def test_thoughts_are_reasoning_and_no_part_of_the_text() -> None:
    found = said({"text": "Hm. ", "thought": True}, {"text": "No", "thought": False})
    assert (found.reasoning, found.text) == ("Hm. ", "No")


def test_parts_that_we_have_no_place_for_are_survived() -> None:
    found = said(
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "s"},
        {"text": "ok"},
        {},
    )
    assert (found.text, found.state) == ("ok", b"")


def test_a_call_is_whole_and_a_stop_with_calls_waits_for_their_results() -> None:
    found = said(call("add", id="x1", args={"b": 2, "a": [1.0, None]}), {"text": ""})
    (only,) = found.calls
    assert (only.id, only.name, only.arguments) == ("x1", "add", '{"b":2,"a":[1.0,null]}')
    assert (found.finish, found.native) == ("tool_calls", "STOP")
    assert not answered(call("add")).choices[0].message.content


def test_no_number_and_no_order_of_keys_is_lost_on_the_way_in() -> None:
    body = (
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":'
        b'{ "z" : 12345678901234567890123, "a": 0.10000000000000000001, "k": "\\u00e9" }'
        b"}}]}}]}"
    )
    (choice,) = DEVELOPER.decode(body).choices
    assert choice.message.tool_calls[0].arguments == (
        '{"z":12345678901234567890123,"a":0.10000000000000000001,"k":"\\u00e9"}'
    )


@pytest.mark.parametrize("fields", [{}, {"args": {}}, {"args": None}])
def test_a_call_without_arguments_has_empty_ones(fields: dict[str, Any]) -> None:
    assert said(call("now", **fields)).calls[0].arguments == "{}"


def test_a_missing_id_is_made_up_always_the_same_and_another_in_another_answer() -> None:
    def ids(answer_id: str) -> list[str]:
        body = {"candidates": [candidate(call("f"), call("f"))], "responseId": answer_id}
        return [call.id for call in whole(decode(body))[0].calls]

    assert ids("r1") == ids("r1")
    assert len({*ids("r1"), *ids("r2")}) == 4


def test_an_id_that_comes_twice_is_replaced() -> None:
    first, second = said(call("f", id="x"), call("g", id="x")).calls
    assert first.id == "x" != second.id


def test_only_the_call_that_is_signed_carries_the_signature() -> None:
    first, second = said(call("f") | {"thoughtSignature": "c2ln"}, call("g")).calls
    assert first.state == b'{"gemini":{"signature":"c2ln"}}\n'
    assert second.state == b""


PARTS: list[dict[str, Any]] = [
    {"text": "I think", "thought": True, "thoughtSignature": "dDE="},
    {"text": "One. "},
    {"text": "Tw\u00f6 \U0001f600.", "thoughtSignature": "cDE="},
    {"functionCall": {"name": "f", "args": {"n": 1}, "id": "c1"}, "thoughtSignature": "cDI="},
    {"functionCall": {"name": "g", "args": {}, "id": "c2"}},
    {"text": "", "thoughtSignature": "cDM="},
]


def test_an_answer_that_goes_back_has_every_signature_on_its_own_part() -> None:
    message = answered(*PARTS).choices[0].message
    for state in (message.provider_state, *(call.provider_state for call in message.tool_calls)):
        assert base64.b64decode(base64.b64encode(state)) == state
    request = pb.ChatCompletionRequest(messages=[message])
    (turn,) = json.loads(DEVELOPER.encode(request, "gemini-3.5-flash", stream=False).body)[
        "contents"
    ]
    assert turn == {"role": "model", "parts": PARTS}


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("LANGUAGE", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("ESCALATION", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_RECITATION", "content_filter"),
        ("OTHER", "stop"),
        ("NO_IMAGE", "stop"),
        ("IMAGE_OTHER", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_every_finish_word_is_mapped_and_carried(word: str, finish: str) -> None:
    found = said({"text": "a"}, finishReason=word)
    assert (found.finish, found.native) == (finish, word)


@pytest.mark.parametrize("word", ["MAX_TOKENS", "SAFETY"])
def test_a_call_overrides_a_stop_and_nothing_else(word: str) -> None:
    assert said(call("f"), finishReason=word).finish in ("length", "content_filter")


@pytest.mark.parametrize(
    "word",
    [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "PUP_LIMITED_DISABLED",
    ],
)
def test_a_breakdown_is_a_reported_fault_and_never_a_stop(word: str) -> None:
    body = {"candidates": [{"finishReason": word, "finishMessage": "Malformed: add(1"}]}
    fault = failed(body)
    assert (fault.kind, fault.status, fault.told) == (FaultKind.REPORTED, None, "Malformed: add(1")
    assert word in fault.detail


@pytest.mark.parametrize("reason", [None, 0, "FINISH_REASON_UNSPECIFIED"])
def test_a_whole_answer_without_a_finish_word_is_a_stop(reason: Any) -> None:
    found = said({"text": "a"}, finishReason=reason)
    assert (found.finish, found.native) == ("stop", "")


@pytest.mark.parametrize(
    ("dialect", "number", "native", "finish"),
    [
        (DEVELOPER, 1, "STOP", "stop"),
        (VERTEX, 1, "STOP", "stop"),
        (VERTEX, 2, "MAX_TOKENS", "length"),
        (DEVELOPER, 3, "SAFETY", "content_filter"),
        (DEVELOPER, 6, "LANGUAGE", "content_filter"),
        (VERTEX, 6, "BLOCKLIST", "content_filter"),
        (DEVELOPER, 9, "SPII", "content_filter"),
        (VERTEX, 8, "SPII", "content_filter"),
        (DEVELOPER, 11, "IMAGE_SAFETY", "content_filter"),
        (VERTEX, 10, "MODEL_ARMOR", "content_filter"),
        (VERTEX, 99, "99", "stop"),
    ],
)
def test_an_enum_may_be_a_number_and_each_api_has_its_own(
    dialect: GeminiDialect, number: int, native: str, finish: str
) -> None:
    found = whole(decode({"candidates": [candidate(finishReason=number)]}, dialect))[0]
    assert (found.native, found.finish) == (native, finish)


@pytest.mark.parametrize(
    ("dialect", "number"), [(DEVELOPER, 10), (VERTEX, 9), (DEVELOPER, 13), (VERTEX, 15)]
)
def test_a_breakdown_may_be_a_number(dialect: GeminiDialect, number: int) -> None:
    assert failed({"candidates": [{"finishReason": number}]}, dialect).kind is FaultKind.REPORTED


@pytest.mark.parametrize(
    ("reason", "native"),
    [("SAFETY", "SAFETY"), ("JAILBREAK", "JAILBREAK"), (4, "PROHIBITED_CONTENT"), (77, "77")],
)
def test_a_blocked_prompt_is_an_empty_answer_that_was_filtered(reason: Any, native: str) -> None:
    answer = decode(
        {
            "promptFeedback": {"blockReason": reason, "safetyRatings": []},
            "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
        }
    )
    (choice,) = answer.choices
    assert choice.finish_reason == pb.FINISH_REASON_CONTENT_FILTER
    assert choice.native_finish_reason == native
    assert [part.text for part in choice.message.content] == [""]
    assert answer.usage.prompt_tokens == 4


def test_a_block_reason_means_another_in_the_other_api() -> None:
    body = {"promptFeedback": {"blockReason": 5}}
    words = [decode(body, d).choices[0].native_finish_reason for d in (DEVELOPER, VERTEX)]
    assert words == ["IMAGE_SAFETY", "MODEL_ARMOR"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"candidates": []},
        {"candidates": None, "usageMetadata": {"promptTokenCount": 1}},
        {"promptFeedback": {"safetyRatings": []}},
        {"promptFeedback": {"blockReason": 0}},
        {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}},
    ],
)
def test_an_answer_without_a_candidate_is_none(body: Any) -> None:
    assert failed(body).kind is FaultKind.TRUNCATED


def test_feedback_on_a_prompt_that_was_answered_does_not_block_it() -> None:
    body = {"candidates": [candidate({"text": "a"})], "promptFeedback": {"blockReason": "OTHER"}}
    assert whole(decode(body))[0].finish == "stop"


def test_several_candidates_are_choices_by_their_index_or_their_place() -> None:
    texts = [candidate({"text": text}) for text in "ab"]
    swapped = [texts[0] | {"index": 1}, texts[1] | {"index": 0}]
    for candidates, wanted in ((texts, "ab"), (swapped, "ba")):
        answer = decode({"candidates": candidates, "responseId": "r"})
        assert [choice.index for choice in answer.choices] == [0, 1]
        assert "".join(said.text for said in whole(answer).values()) in ("ab", "ba")
        assert [c.message.content[0].text for c in answer.choices] == list(wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        # Thoughts are beside the candidates' tokens, and both are the completion.
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 4},
            {"prompt_tokens": 10, "completion_tokens": 7, "reasoning_tokens": 4},
        ),
        # What is cached is part of the prompt already.
        (
            {"promptTokenCount": 10, "cachedContentTokenCount": 8, "candidatesTokenCount": 1},
            {"prompt_tokens": 10, "completion_tokens": 1, "cached_tokens": 8},
        ),
        # What the provider's own tools fed in is beside the prompt.
        (
            {"promptTokenCount": 10, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 1},
            {"prompt_tokens": 15, "completion_tokens": 1},
        ),
        # A zero is left out on the wire.
        ({"promptTokenCount": 10, "totalTokenCount": 10}, {"prompt_tokens": 10}),
        ({"candidatesTokenCount": 2}, {"completion_tokens": 2}),
    ],
)
def test_usage_is_told_in_openais_figures(given: Any, wanted: dict[str, Any]) -> None:
    usage = decode({"candidates": [candidate()], "usageMetadata": given}).usage
    total = wanted.get("prompt_tokens", 0) + wanted.get("completion_tokens", 0)
    assert usage == pb.Usage(total_tokens=total, **wanted)


@pytest.mark.parametrize("given", [None, {}, {"trafficType": "ON_DEMAND"}])
def test_usage_that_counts_nothing_is_none(given: Any) -> None:
    answer = decode({"candidates": [candidate()], "usageMetadata": given})
    assert not answer.HasField("usage")


def test_log_probabilities_are_those_of_the_chosen_tokens() -> None:
    tokens = {
        "topCandidates": [
            {"candidates": [{"token": "A", "logProbability": -0.1, "tokenId": 5}, {"token": "B"}]},
        ],
        "chosenCandidates": [
            {"token": "A", "logProbability": -0.1, "tokenId": 5},
            {"token": "x", "logProbability": "-Infinity"},
        ],
    }
    (choice,) = answered({"text": "Ax"}, logprobsResult=tokens).choices
    likely = [pb.TokenLogprob(token="A", logprob=-0.1), pb.TokenLogprob(token="B", logprob=0)]
    assert choice.logprobs == pb.Logprobs(
        content=[
            pb.TokenLogprob(token="A", logprob=-0.1, top_logprobs=likely),
            pb.TokenLogprob(token="x", logprob=-9999.0),
        ]
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "x", "inf"])
def test_a_log_probability_that_is_no_number_is_malformed(number: str) -> None:
    tokens = {"chosenCandidates": [{"token": "A", "logProbability": number}]}
    body = {"candidates": [candidate({"text": "A"}, logprobsResult=tokens)]}
    assert failed(body).kind is FaultKind.MALFORMED


def test_a_call_without_a_name_is_malformed() -> None:
    assert failed({"candidates": [candidate({"functionCall": {"args": {}}})]}).kind is (
        FaultKind.MALFORMED
    )


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"code": 400, "status": "INVALID_ARGUMENT"}, FaultKind.REJECTED, 400),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, FaultKind.STATUS, 429),
        ({"code": 503, "status": "UNAVAILABLE"}, FaultKind.STATUS, 503),
        ({"status": "UNAVAILABLE"}, FaultKind.STATUS, 503),
        ({"status": "PERMISSION_DENIED"}, FaultKind.STATUS, 403),
        ({"status": "FAILED_PRECONDITION"}, FaultKind.STATUS, 403),
        ({"code": 400, "status": "FAILED_PRECONDITION"}, FaultKind.STATUS, 403),
        ({"code": 8}, FaultKind.STATUS, 429),
        ({"code": 14}, FaultKind.STATUS, 503),
        ({"code": 16}, FaultKind.STATUS, 401),
        ({"code": 3}, FaultKind.REJECTED, 400),
        ({"code": 17}, FaultKind.REPORTED, None),
        ({"code": "odd", "status": ["odd"]}, FaultKind.REPORTED, None),
        (
            {"code": 400, "details": [5, {"reason": "API_KEY_INVALID"}]},
            FaultKind.STATUS,
            401,
        ),
        ("just text", FaultKind.REPORTED, None),
    ],
)
def test_an_error_for_an_answer_is_classified_by_its_codes(
    error: Any, kind: FaultKind, status: int | None
) -> None:
    if isinstance(error, dict):
        error = {"message": "They say.", **error}
    fault = failed({"error": error})
    assert (fault.kind, fault.status) == (kind, status)
    assert fault.told in ("They say.", "just text")
    assert "They say" not in fault.detail


@pytest.mark.parametrize(
    ("delay", "seconds"), [("1.250000001s", 1.250000001), ("7s", 7.0), ("soon", None), (5, None)]
)
def test_the_wait_that_an_error_asks_for_is_told(delay: Any, seconds: float | None) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    fault = failed({"error": {"code": 429, "message": "m", "details": [{"a": 1}, info]}})
    assert fault.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            b'{"error":{"code":404,"message":"No such model.","status":"NOT_FOUND"}}',
            "No such model.",
        ),
        (b'[{"error":{"code":400,"message":"Bad."}}]', "Bad."),
        (b"<html>502</html>", ""),
        (b"", ""),
    ],
)
def test_an_error_body_gives_the_providers_own_message(body: bytes, told: str) -> None:
    assert DEVELOPER.decode_error(500, body) == told
