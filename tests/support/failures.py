"""The error table of the API, read independently of the product: reason → HTTP status and type."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2, status_pb2

from tests.support.answers import Failure

INVALID = "invalid_request_error"
UPSTREAM = "upstream_error"

# Reason → gRPC code, HTTP status, type, code.
REASONS: dict[str, tuple[grpc.StatusCode, int, str, str | None]] = {
    "INVALID_REQUEST": (grpc.StatusCode.INVALID_ARGUMENT, 400, INVALID, None),
    "UNSUPPORTED_CAPABILITY": (
        grpc.StatusCode.INVALID_ARGUMENT,
        400,
        INVALID,
        "unsupported_capability",
    ),
    "REJECTED_BY_PROVIDER": (
        grpc.StatusCode.INVALID_ARGUMENT,
        400,
        INVALID,
        "rejected_by_provider",
    ),
    "MISSING_API_KEY": (grpc.StatusCode.UNAUTHENTICATED, 401, INVALID, "missing_api_key"),
    "INVALID_API_KEY": (grpc.StatusCode.UNAUTHENTICATED, 401, INVALID, "invalid_api_key"),
    "MODEL_NOT_ALLOWED": (
        grpc.StatusCode.PERMISSION_DENIED,
        403,
        "permission_error",
        "model_not_allowed",
    ),
    "ADMIN_REQUIRED": (
        grpc.StatusCode.PERMISSION_DENIED,
        403,
        "permission_error",
        "admin_required",
    ),
    "ACCOUNT_NOT_FOUND": (grpc.StatusCode.NOT_FOUND, 404, INVALID, "account_not_found"),
    "KEY_NOT_FOUND": (grpc.StatusCode.NOT_FOUND, 404, INVALID, "key_not_found"),
    "ALREADY_EXISTS": (grpc.StatusCode.ALREADY_EXISTS, 409, INVALID, "already_exists"),
    "INSUFFICIENT_BALANCE": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        402,
        "insufficient_quota",
        "insufficient_balance",
    ),
    "SPEND_CAP_REACHED": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        402,
        "insufficient_quota",
        "spend_cap_reached",
    ),
    "TOO_MANY_CONCURRENT_REQUESTS": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        429,
        "rate_limit_error",
        "too_many_concurrent_requests",
    ),
    "RATE_LIMIT_EXCEEDED": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
    ),
    "PRICE_UNKNOWN": (grpc.StatusCode.FAILED_PRECONDITION, 400, INVALID, "price_unknown"),
    "MODEL_NOT_FOUND": (grpc.StatusCode.NOT_FOUND, 404, INVALID, "model_not_found"),
    "REQUEST_TOO_LARGE": (grpc.StatusCode.RESOURCE_EXHAUSTED, 413, INVALID, "request_too_large"),
    "ALL_PROVIDERS_FAILED": (grpc.StatusCode.UNAVAILABLE, 502, UPSTREAM, "all_providers_failed"),
    "UPSTREAM_TRUNCATED": (grpc.StatusCode.UNAVAILABLE, 502, UPSTREAM, "upstream_truncated"),
    "UPSTREAM_STALLED": (grpc.StatusCode.UNAVAILABLE, 502, UPSTREAM, "upstream_stalled"),
    "UPSTREAM_ERROR": (grpc.StatusCode.UNAVAILABLE, 502, UPSTREAM, "upstream_error"),
    "SERVICE_UNAVAILABLE": (
        grpc.StatusCode.UNAVAILABLE,
        503,
        "server_error",
        "service_unavailable",
    ),
    "DEADLINE_EXCEEDED": (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        504,
        "timeout_error",
        "deadline_exceeded",
    ),
    "IDEMPOTENCY_KEY_REUSED": (
        grpc.StatusCode.INVALID_ARGUMENT,
        422,
        "invalid_request_error",
        "idempotency_key_reused",
    ),
    "STREAM_NOT_RESUMABLE": (
        grpc.StatusCode.FAILED_PRECONDITION,
        422,
        "invalid_request_error",
        "stream_not_resumable",
    ),
    "INTERNAL_ERROR": (grpc.StatusCode.INTERNAL, 500, "server_error", "internal_error"),
}

HTTP_STATUS = {name: http for _, http, _, name in REASONS.values()}


def from_rpc_error(error: grpc.aio.AioRpcError) -> Failure:
    """Reduce a gRPC status to what REST would say, by its reason; and check that it is whole."""
    packed = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    if packed is None:
        return _from_grpc_itself(error)
    assert isinstance(packed, bytes)
    status = status_pb2.Status.FromString(packed)
    info, fields, wait = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail in status.details:
        for known in (info, fields, wait):
            detail.Unpack(known)
    code, http, type_, name = REASONS[info.reason]
    assert info.domain == "llmbase.ai"
    assert (error.code(), error.details()) == (code, status.message)
    assert status.code == code.value[0]
    param = fields.field_violations[0].field if fields.field_violations else None
    # Whole seconds, rounded up: what the HTTP header can say.
    seconds = -(-wait.retry_delay.ToNanoseconds() // 10**9) if wait.ListFields() else None
    return Failure(http, type_, name, param, status.message, seconds)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The reason that a status of ours carries; it is one with the gRPC code that belongs to it."""
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert isinstance(packed, bytes)
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(packed).details[0].Unpack(info)
    assert REASONS[info.reason][0] is error.code()
    return info.reason


def _from_grpc_itself(error: grpc.aio.AioRpcError) -> Failure:
    """A status without a reason: only the client's own library may make one."""
    own = {grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED"}
    assert error.code() in own, error
    _, http, type_, name = REASONS[own[error.code()]]
    return Failure(http, type_, name, None, error.details() or "")
