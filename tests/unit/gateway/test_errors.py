"""What HTTP calls every error of the service, and every status that is gRPC's own."""

from __future__ import annotations

import json

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError, Metadata
from llmbase.v1.error_reason_pb2 import ErrorReason

from gateway import errors
from gateway.transcoding.fields import BadField
from tests.support.openai_schema import check

REASONS = [
    name.removeprefix("ERROR_REASON_")
    for name in ErrorReason.keys()  # noqa: SIM118 - an enum wrapper is no mapping
    if name != "ERROR_REASON_UNSPECIFIED"
]
# The contract's table, by reason.
HTTP = {
    "INVALID_REQUEST": (400, "invalid_request_error", None),
    "UNSUPPORTED_CAPABILITY": (400, "invalid_request_error", "unsupported_capability"),
    "REJECTED_BY_PROVIDER": (400, "invalid_request_error", "rejected_by_provider"),
    "MISSING_API_KEY": (401, "invalid_request_error", "missing_api_key"),
    "INVALID_API_KEY": (401, "invalid_request_error", "invalid_api_key"),
    "INSUFFICIENT_BALANCE": (402, "insufficient_quota", "insufficient_balance"),
    "SPEND_CAP_REACHED": (402, "insufficient_quota", "spend_cap_reached"),
    "MODEL_NOT_ALLOWED": (403, "permission_error", "model_not_allowed"),
    "MODEL_NOT_FOUND": (404, "invalid_request_error", "model_not_found"),
    "ADMIN_REQUIRED": (403, "permission_error", "admin_required"),
    "ACCOUNT_NOT_FOUND": (404, "invalid_request_error", "account_not_found"),
    "KEY_NOT_FOUND": (404, "invalid_request_error", "key_not_found"),
    "ALREADY_EXISTS": (409, "invalid_request_error", "already_exists"),
    "PRICE_UNKNOWN": (400, "invalid_request_error", "price_unknown"),
    "IDEMPOTENCY_KEY_REUSED": (422, "invalid_request_error", "idempotency_key_reused"),
    "STREAM_NOT_RESUMABLE": (422, "invalid_request_error", "stream_not_resumable"),
    "REQUEST_TOO_LARGE": (413, "invalid_request_error", "request_too_large"),
    "TOO_MANY_CONCURRENT_REQUESTS": (429, "rate_limit_error", "too_many_concurrent_requests"),
    "RATE_LIMIT_EXCEEDED": (429, "rate_limit_error", "rate_limit_exceeded"),
    "INTERNAL_ERROR": (500, "server_error", "internal_error"),
    "ALL_PROVIDERS_FAILED": (502, "upstream_error", "all_providers_failed"),
    "UPSTREAM_TRUNCATED": (502, "upstream_error", "upstream_truncated"),
    "UPSTREAM_STALLED": (502, "upstream_error", "upstream_stalled"),
    "UPSTREAM_ERROR": (502, "upstream_error", "upstream_error"),
    "SERVICE_UNAVAILABLE": (503, "server_error", "service_unavailable"),
    "DEADLINE_EXCEEDED": (504, "timeout_error", "deadline_exceeded"),
}


def info(reason: str, domain: str = "llmbase.ai") -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain)


def rpc_error(*details: Message, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> AioRpcError:
    status = status_pb2.Status(code=code.value[0], message="What happened.")
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = Metadata(("x", "y"), ("grpc-status-details-bin", status.SerializeToString()))
    return AioRpcError(code, Metadata(), trailing, "What happened.")


def bare(code: grpc.StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), "dial unix:/run/secret.sock: refused")


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE])
def test_the_reason_decides_whatever_the_code(reason: str, code: grpc.StatusCode) -> None:
    error = errors.from_rpc(rpc_error(info(reason), code=code))

    assert (error.status, error.type, error.code) == HTTP[reason]
    assert error.message == "What happened."
    assert error.param is None


def test_the_table_has_every_reason_and_no_other() -> None:
    assert set(errors.BY_REASON) == set(REASONS) == set(HTTP)


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_a_status_without_a_reason_keeps_its_text_to_itself(code: grpc.StatusCode) -> None:
    expected = {
        grpc.StatusCode.UNAVAILABLE: "SERVICE_UNAVAILABLE",
        grpc.StatusCode.RESOURCE_EXHAUSTED: "REQUEST_TOO_LARGE",
        grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    }.get(code, "INTERNAL_ERROR")

    error = errors.from_rpc(bare(code))

    assert (error.status, error.type, error.code) == HTTP[expected]
    assert "secret" not in error.body().decode()


@pytest.mark.parametrize(
    "error",
    [
        rpc_error(info("NO_SUCH_REASON")),
        rpc_error(info("MODEL_NOT_FOUND", domain="example.com")),
        rpc_error(),
        AioRpcError(
            grpc.StatusCode.UNKNOWN,
            Metadata(),
            Metadata(("grpc-status-details-bin", b"\xff\xff")),
            "garbage",
        ),
    ],
    ids=["unknown reason", "another's domain", "no details", "garbage"],
)
def test_details_that_are_not_ours_count_as_none(error: AioRpcError) -> None:
    assert errors.from_rpc(error).code == "internal_error"


def test_param_is_the_first_field_violation() -> None:
    bad_request = error_details_pb2.BadRequest()
    bad_request.field_violations.add(field="messages[0].role", description="must be one of")
    bad_request.field_violations.add(field="n", description="must be")

    error = errors.from_rpc(rpc_error(info("INVALID_REQUEST"), bad_request))

    assert error.param == "messages[0].role"


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [(2, 0, 2), (2, 1, 3), (0, 1, 1), (0, 0, 0), (-5, 0, 0)],
)
def test_retry_after_is_whole_seconds_rounded_up(seconds: int, nanos: int, expected: int) -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))

    assert errors.from_rpc(rpc_error(info("RATE_LIMIT_EXCEEDED"), retry)).retry_after == expected


def test_an_error_worth_retrying_says_when_even_if_the_service_does_not() -> None:
    waits = {reason: errors.from_rpc(rpc_error(info(reason))).retry_after for reason in REASONS}

    assert {reason for reason, wait in waits.items() if wait is not None} == {
        "ALL_PROVIDERS_FAILED",
        "RATE_LIMIT_EXCEEDED",
        "SERVICE_UNAVAILABLE",
        "TOO_MANY_CONCURRENT_REQUESTS",
    }


def test_every_envelope_has_all_four_keys() -> None:
    known = [errors.from_rpc(rpc_error(info(reason))) for reason in REASONS]
    own = [
        errors.bad_field(BadField("a.b", "must be a string")),
        errors.bad_field(BadField("", "The body must be JSON.")),
        errors.request_too_large(1),
        errors.request_timeout(1.5),
        errors.unknown_url("x"),
        errors.method_not_allowed("x", ()),
        errors.http_error(417, "x"),
        errors.service_unavailable("x"),
        errors.upstream_truncated(),
        errors.internal_error(),
    ]

    for error in known + own:
        envelope = json.loads(error.body())
        check("error", envelope)
        assert set(envelope) == {"error"}
        assert list(envelope["error"]) == ["message", "type", "code", "param"]
        assert 400 <= error.status < 600
