from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai import OpenAiDialect

DIALECT = OpenAiDialect()


def fault_in_body(body: Any) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode(json.dumps(body).encode())
    return caught.value


def fault_in_stream(event: Event) -> ProviderFault:
    with pytest.raises(ProviderFault) as caught:
        DIALECT.decode_stream().decode(event, pb.ChatCompletionChunk())
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"message": "m", "code": 400}, FaultKind.REJECTED, 400),
        ({"message": "m", "code": 413}, FaultKind.REJECTED, 413),
        ({"message": "m", "code": "422"}, FaultKind.REJECTED, 422),
        ({"message": "m", "code": 429}, FaultKind.STATUS, 429),
        ({"message": "m", "code": 502}, FaultKind.STATUS, 502),
        ({"message": "m", "code": "tool_use_failed", "status_code": 400}, FaultKind.REJECTED, 400),
        ({"message": "m", "code": "content_filter", "status": 400}, FaultKind.REJECTED, 400),
        ({"message": "m", "code": "rate_limit_exceeded"}, FaultKind.STATUS, 429),
        ({"message": "m", "type": "overloaded_error"}, FaultKind.STATUS, 503),
        (
            {"message": "m", "type": "invalid_request_error", "code": "model_not_found"},
            FaultKind.STATUS,
            404,
        ),
        ({"message": "m", "type": "invalid_request_error"}, FaultKind.REJECTED, 400),
        ({"message": "m", "code": "1500"}, FaultKind.REPORTED, None),
        ({"message": "m", "code": True}, FaultKind.REPORTED, None),
        ({"message": "m", "code": 200}, FaultKind.REPORTED, None),
        ({"message": "m", "code": [400], "type": {}}, FaultKind.REPORTED, None),
        ("m", FaultKind.REPORTED, None),
    ],
)
def test_an_error_is_classified_by_its_status_or_its_machine_word(
    error: Any, kind: FaultKind, status: int | None
) -> None:
    whole = fault_in_body({"error": error})
    streamed = fault_in_stream(Event("", json.dumps({"error": error}).encode()))
    named = fault_in_stream(Event("error", json.dumps({"error": error}).encode()))
    bare = fault_in_stream(Event("error", json.dumps(error).encode()))
    for fault in (whole, streamed, named, bare):
        assert (fault.kind, fault.status, fault.told) == (kind, status, "m")


def test_an_error_beside_choices_wins() -> None:
    choice = {"index": 0, "message": {"content": "x"}, "delta": {"content": "x"}}
    body = {"choices": [choice], "error": {"message": "m", "code": 500}}
    assert fault_in_body(body).status == 500
    assert fault_in_stream(Event("", json.dumps(body).encode())).status == 500


def test_an_error_in_a_choice_fails_the_answer() -> None:
    choice = {"index": 0, "finish_reason": "error", "error": {"code": 503, "message": "m"}}
    body = {"choices": [choice | {"message": {"content": "x"}, "delta": {}}]}
    assert (fault_in_body(body).status, fault_in_body(body).told) == (503, "m")
    assert fault_in_stream(Event("", json.dumps(body).encode())).status == 503


@pytest.mark.parametrize(
    "error",
    [
        {"object": "error", "message": "m", "code": 400, "type": "BadRequestError"},
        {"type": "error", "message": "m", "status": 400},
        {"detail": "m", "status": 400},
        {"message": "m", "code": 400},
    ],
)
def test_an_error_without_an_envelope_is_an_error_all_the_same(error: Any) -> None:
    for fault in (fault_in_body(error), fault_in_stream(Event("", json.dumps(error).encode()))):
        assert (fault.kind, fault.status, fault.told) == (FaultKind.REJECTED, 400, "m")


def test_an_event_called_error_is_one_whatever_it_holds() -> None:
    fault = fault_in_stream(Event("error", b"overloaded, \xff try later"))
    assert (fault.kind, fault.told) == (FaultKind.REPORTED, "overloaded, \ufffd try later")
    assert fault_in_stream(Event("error", b"")).kind is FaultKind.REPORTED


def test_the_detail_for_the_logs_holds_machine_words_and_no_text() -> None:
    secret = "the user's own words"
    for error in ({"message": secret, "code": "bad_word"}, {"message": secret, "code": secret}):
        assert secret not in fault_in_body({"error": error}).detail
    assert "bad_word" in fault_in_body({"error": {"message": "", "code": "bad_word"}}).detail


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error":{"message":"m","type":"t"}}', "m"),
        ('{"error":"m"}', "m"),
        ('{"message":"m"}', "m"),
        ('{"detail":"m"}', "m"),
        ('{"msg":"m"}', "m"),
        ('{"error":{"error":{"message":"m"}}}', "m"),
        ('{"error":{"message":null},"message":"m"}', "m"),
        ('[{"error":{"message":"m"}}]', "m"),
        ('{"errors":[{"message":"m"},{"message":"n"}]}', "m; n"),
        (
            '{"detail":[{"loc":["body","messages",0],"msg":"m","input":"the prompt"}]}',
            "body.messages.0: m",
        ),
        ('{"message":{"detail":[{"loc":["body"],"msg":"m"}]}}', "body: m"),
        ('"m"', "m"),
        ("Bad gateway", "Bad gateway"),
        ('{"error":{"message":"a\\nb\\u0000c"}}', "a b c"),
        ("", ""),
        ("<html><body>Bad gateway</body></html>", ""),
        ('{"error":{"message":"cut of', ""),
        ("[]", ""),
        ("17", ""),
        ("null", ""),
        ('{"error":{"message":17}}', ""),
        ("x" * 5000, ""),
    ],
)
def test_the_message_of_an_error_body_is_found_in_every_known_envelope(
    body: str, message: str
) -> None:
    assert DIALECT.decode_error(400, body.encode()) == message


def test_a_long_or_deep_error_body_gives_a_bounded_message() -> None:
    assert len(DIALECT.decode_error(400, b'{"error":"' + b"x" * 10**6 + b'"}')) == 2000
    assert DIALECT.decode_error(400, b"[" * 10**5) == ""
    assert DIALECT.decode_error(400, b'{"error":' * 500 + b'"m"' + b"}" * 500) == ""
