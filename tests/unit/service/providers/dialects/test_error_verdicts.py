"""An HTTP error that blames the request, while its machine words blame something else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from service.config import ProviderConfig
from service.providers.dialects import DIALECTS
from service.providers.dialects.dialect import Dialect
from service.providers.http_faults import Verdict
from tests.unit.service.providers.dialects.hostile import ANYTHING, NO_ANSWERS

OPENAI_LIKE = ("openai", "azure", "mistral", "cohere", "ollama", "groq")
URL = "https://provider.example.com"


def build(name: str) -> Dialect:
    config = ProviderConfig.model_validate({"dialect": name, "base_url": URL})
    return DIALECTS[name].build(config)


def judged(
    name: str, body: Any, status: int = 400, headers: dict[str, str] | None = None
) -> Verdict:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return build(name).judge_error(status, CIMultiDict(headers or {}), data)


@pytest.mark.parametrize("name", OPENAI_LIKE)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": "invalid_api_key"}, 401),
        ({"type": "authentication_error", "code": None}, 401),
        ({"code": "insufficient_quota"}, 429),
        ({"type": "rate_limit_error"}, 429),
        ({"code": "model_not_found"}, 404),
        ({"type": "overloaded_error"}, 503),
        ({"code": 429}, 429),
        ({"type": "server_error"}, 400),
        ({"code": "context_length_exceeded"}, 400),
        ({"type": "invalid_request_error"}, 400),
        ({"type": "invalid_request_error", "code": "invalid_api_key"}, 401),
        ({"code": "never seen"}, 400),
        ({"message": "Incorrect API key provided, 401"}, 400),  # text says nothing
    ],
)
def test_documented_words_of_openai_and_its_like(name: str, error: Any, status: int) -> None:
    assert judged(name, {"error": error}) == (status, None)
    assert judged(name, [{"error": error}]) == (status, None)
    assert judged(name, error) == (status, None)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("authentication_error", 401),
        ("billing_error", 402),
        ("permission_error", 403),
        ("rate_limit_error", 429),
        ("overloaded_error", 529),
        ("invalid_request_error", 400),
        ("request_too_large", 400),
        ("never_seen", 400),
        (None, 400),
    ],
)
def test_documented_words_of_anthropic(word: str | None, status: int) -> None:
    assert judged("anthropic", {"type": "error", "error": {"type": word}}) == (status, None)


KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "20.5s"}


@pytest.mark.parametrize("name", ["gemini", "vertex"])
@pytest.mark.parametrize(
    ("http", "error", "verdict"),
    [
        (400, {"code": 400, "status": "INVALID_ARGUMENT", "details": [KEY_INVALID]}, (401, None)),
        (400, {"code": 400, "status": "INVALID_ARGUMENT"}, (400, None)),
        (400, {"code": 400, "status": "FAILED_PRECONDITION"}, (403, None)),
        (429, {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [RETRY]}, (429, 20.5)),
        (503, {"code": 503, "status": "UNAVAILABLE", "details": "odd"}, (503, None)),
    ],
)
def test_documented_words_of_google(name: str, http: int, error: Any, verdict: Any) -> None:
    assert judged(name, {"error": error}, http) == verdict
    assert judged(name, [{"error": error}], http) == verdict


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("ThrottlingException", 429),
        ("ServiceQuotaExceededException", 429),
        ("UnrecognizedClientException", 403),
        ("ExpiredTokenException", 403),
        ("IncompleteSignature", 403),
        ("AccessDeniedException", 403),
        ("ResourceNotFoundException", 404),
        ("ServiceUnavailable", 503),
        ("ValidationException", 400),
        ("NeverSeenException", 400),
    ],
)
def test_documented_exceptions_of_bedrock(word: str, status: int) -> None:
    header = f"{word}:http://internal.amazon.com/coral/com.amazon.bedrock/"
    assert judged("bedrock", {}, headers={"x-amzn-ErrorType": header}) == (status, None)
    assert judged("bedrock", {}, headers={"X-AMZN-ERRORTYPE": word}) == (status, None)
    assert judged("bedrock", {"__type": f"com.amazon.coral.service#{word}"}) == (status, None)


EVERY = (*OPENAI_LIKE, "anthropic", "gemini", "vertex", "bedrock", "embedded")


@pytest.mark.parametrize("name", EVERY)
def test_a_status_that_does_not_blame_the_request_stands(name: str) -> None:
    body = {"error": {"type": "authentication_error", "code": 401}, "__type": "ThrottlingException"}
    assert judged(name, body, 500).status == 500
    assert judged(name, body, 404).status == 404


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("number", range(len(NO_ANSWERS)))
def test_a_body_that_is_no_error_object_changes_nothing(name: str, number: int) -> None:
    assert judged(name, NO_ANSWERS[number]) == (400, None)


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "bedrock"])
@given(error=ANYTHING, key=st.sampled_from(["error", "code", "type", "status", "__type"]))
def test_no_body_is_too_odd_to_judge(name: str, error: Any, key: str) -> None:
    for body in ({key: error}, {"error": {key: error}}, [{"error": {"details": [error]}}]):
        status, seconds = judged(name, orjson_safe(body))
        assert isinstance(status, int)
        assert seconds is None


def orjson_safe(body: Any) -> bytes:
    return json.dumps(body).encode(errors="replace")
