"""gRPC status -> HTTP status and OpenAI's error envelope: the only such table.

The reason (google.rpc.ErrorInfo) decides; no text is ever matched. A status without a reason is
gRPC's own: its text is about our inside, so the caller is told something of ours instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import grpc
import orjson
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from gateway.limit_headers import limit_headers
from gateway.transcoding.fields import BadField

DOMAIN = "llmbase.ai"
_DETAILS_KEY = "grpc-status-details-bin"


class Row(NamedTuple):
    """What HTTP calls an error. `retry_after`: seconds to name when the service names none."""

    status: int
    type: str
    code: str | None
    retry_after: int | None = None


BY_REASON = {
    "INVALID_REQUEST": Row(400, "invalid_request_error", None),
    "UNSUPPORTED_CAPABILITY": Row(400, "invalid_request_error", "unsupported_capability"),
    "REJECTED_BY_PROVIDER": Row(400, "invalid_request_error", "rejected_by_provider"),
    "MISSING_API_KEY": Row(401, "invalid_request_error", "missing_api_key"),
    "INVALID_API_KEY": Row(401, "invalid_request_error", "invalid_api_key"),
    "MODEL_NOT_ALLOWED": Row(403, "permission_error", "model_not_allowed"),
    "ADMIN_REQUIRED": Row(403, "permission_error", "admin_required"),
    "MODEL_NOT_FOUND": Row(404, "invalid_request_error", "model_not_found"),
    "ACCOUNT_NOT_FOUND": Row(404, "invalid_request_error", "account_not_found"),
    "KEY_NOT_FOUND": Row(404, "invalid_request_error", "key_not_found"),
    "ALREADY_EXISTS": Row(409, "invalid_request_error", "already_exists"),
    "PRICE_UNKNOWN": Row(400, "invalid_request_error", "price_unknown"),
    "REQUEST_TOO_LARGE": Row(413, "invalid_request_error", "request_too_large"),
    "INSUFFICIENT_BALANCE": Row(402, "insufficient_quota", "insufficient_balance"),
    "SPEND_CAP_REACHED": Row(402, "insufficient_quota", "spend_cap_reached"),
    "TOO_MANY_CONCURRENT_REQUESTS": Row(429, "rate_limit_error", "too_many_concurrent_requests", 1),
    "RATE_LIMIT_EXCEEDED": Row(429, "rate_limit_error", "rate_limit_exceeded", 1),
    "ALL_PROVIDERS_FAILED": Row(502, "upstream_error", "all_providers_failed", 1),
    "UPSTREAM_TRUNCATED": Row(502, "upstream_error", "upstream_truncated"),
    "UPSTREAM_STALLED": Row(502, "upstream_error", "upstream_stalled"),
    "UPSTREAM_ERROR": Row(502, "upstream_error", "upstream_error"),
    "SERVICE_UNAVAILABLE": Row(503, "server_error", "service_unavailable", 1),
    "DEADLINE_EXCEEDED": Row(504, "timeout_error", "deadline_exceeded"),
    # As drafted for the header; SDKs repeat a 409, and these would never end otherwise.
    "IDEMPOTENCY_KEY_REUSED": Row(422, "invalid_request_error", "idempotency_key_reused"),
    "STREAM_NOT_RESUMABLE": Row(422, "invalid_request_error", "stream_not_resumable"),
    "INTERNAL_ERROR": Row(500, "server_error", "internal_error"),
}

# What the door finds wrong by itself.
OF_THE_DOOR = {
    "request_timeout": Row(408, "invalid_request_error", "request_timeout"),
    "unknown_url": Row(404, "invalid_request_error", "unknown_url"),
    "method_not_allowed": Row(405, "invalid_request_error", "method_not_allowed"),
}

# What a status of gRPC's own stands for, and what to say.
BY_BARE_CODE = {
    grpc.StatusCode.UNAVAILABLE: ("SERVICE_UNAVAILABLE", "The service is not available."),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ("REQUEST_TOO_LARGE", "The request is too large."),
    grpc.StatusCode.DEADLINE_EXCEEDED: ("DEADLINE_EXCEEDED", "The request's time ran out."),
}
_ANY_OTHER_CODE = ("INTERNAL_ERROR", "Something went wrong inside llmbase.")


class HttpError(Exception):
    """An error as the caller sees it.

    `retry_after` is in seconds; `close` ends the connection; `headers` say when to come back and
    what else there is to know: what is left of limits, or what is allowed.
    """

    def __init__(
        self,
        row: Row,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        close: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = row.status
        self.type = row.type
        self.code = row.code
        self.message = message
        self.param = param
        self.retry_after = row.retry_after if retry_after is None else retry_after
        self.close = close
        self.headers = dict(headers or {})
        if self.retry_after is not None:
            self.headers["Retry-After"] = str(self.retry_after)

    def body(self) -> bytes:
        """Return the envelope: all four keys are always there."""
        error = {
            "message": self.message,
            "type": self.type,
            "code": self.code,
            "param": self.param,
        }
        return orjson.dumps({"error": error})


def from_rpc(error: grpc.aio.AioRpcError) -> HttpError:
    """Return what the caller is told of a failed RPC."""
    status = _status(error)
    info = error_details_pb2.ErrorInfo()
    if _unpack(status, info) and info.domain == DOMAIN and info.reason in BY_REASON:
        bad_request = error_details_pb2.BadRequest()
        _unpack(status, bad_request)
        violations = bad_request.field_violations
        return HttpError(
            BY_REASON[info.reason],
            status.message,
            param=violations[0].field if violations else None,
            retry_after=_retry_after(status),
            headers=limit_headers(error.trailing_metadata()),
        )
    reason, message = BY_BARE_CODE.get(error.code(), _ANY_OTHER_CODE)
    return HttpError(BY_REASON[reason], message)


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the details that came with the error; empty when there are none."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _unpack(status: status_pb2.Status, detail: Message) -> bool:
    """Fill `detail` from the first packed detail of its type; tell whether there is one."""
    try:
        return any(packed.Unpack(detail) for packed in status.details)
    except DecodeError:
        return False


def _retry_after(status: status_pb2.Status) -> int | None:
    retry = error_details_pb2.RetryInfo()
    if not _unpack(status, retry):
        return None
    delay = retry.retry_delay
    seconds: int = delay.seconds + (delay.nanos > 0)  # rounded up
    return max(0, seconds)


# The door's own errors.


def bad_field(error: BadField) -> HttpError:
    """Return the error of a request that no message can hold."""
    return HttpError(BY_REASON["INVALID_REQUEST"], str(error), param=error.param or None)


def invalid_request(message: str, param: str | None = None, *, close: bool = False) -> HttpError:
    """Return a 400 for something other than a field of the body."""
    return HttpError(BY_REASON["INVALID_REQUEST"], message, param=param, close=close)


def request_too_large(limit: int) -> HttpError:
    """Return the error of a body over the limit (bytes, after inflation)."""
    message = f"The request body must not be larger than {limit} bytes."
    return HttpError(BY_REASON["REQUEST_TOO_LARGE"], message, close=True)


def request_timeout(seconds: float) -> HttpError:
    """Return the error of a body that did not arrive in time."""
    message = f"The request body must arrive within {seconds:g} seconds."
    return HttpError(OF_THE_DOOR["request_timeout"], message, close=True)


def unknown_url(message: str) -> HttpError:
    """Return the error of a path that leads nowhere."""
    return HttpError(OF_THE_DOOR["unknown_url"], message)


def method_not_allowed(method: str, allowed: Iterable[str]) -> HttpError:
    """Return the error of a method that the path does not know, with those that it does."""
    known = ", ".join(allowed)
    message = f"{method} is not allowed here. Allowed: {known}"
    return HttpError(OF_THE_DOOR["method_not_allowed"], message, headers={"Allow": known})


def http_error(status: int, message: str) -> HttpError:
    """Return one of HTTP's other errors of the client (4xx)."""
    return HttpError(Row(status, "invalid_request_error", None), message, close=True)


def service_unavailable(message: str) -> HttpError:
    """Return the error of a door that is closing."""
    return HttpError(BY_REASON["SERVICE_UNAVAILABLE"], message, close=True)


def upstream_truncated() -> HttpError:
    """Return the error of a stream that ended without its last chunk."""
    message = "The answer ended before it was complete."
    return HttpError(BY_REASON["UPSTREAM_TRUNCATED"], message)


def internal_error() -> HttpError:
    """Return the error of a fault of our own."""
    return HttpError(BY_REASON["INTERNAL_ERROR"], _ANY_OTHER_CODE[1])
