"""From another llmbase's error status to the fault it means. Pure; a reason decides, never a text.

What it says of itself or of its own providers another target may do better; what it says of the
request is the caller's to hear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from service.errors import DeadlineExceeded, FaultKind, FieldViolation, ProviderFault

DOMAIN = "llmbase.ai"
_MOST_VIOLATIONS = 16


class Row(NamedTuple):
    """What a reason means to us; `status` is what an HTTP provider would have said."""

    kind: FaultKind
    status: int | None = None


BY_REASON: Mapping[str, Row] = {
    "INVALID_REQUEST": Row(FaultKind.REJECTED, 400),
    "UNSUPPORTED_CAPABILITY": Row(FaultKind.REJECTED, 400),
    "REJECTED_BY_PROVIDER": Row(FaultKind.REJECTED, 400),
    "REQUEST_TOO_LARGE": Row(FaultKind.REJECTED, 413),
    "MISSING_API_KEY": Row(FaultKind.STATUS, 401),
    "INVALID_API_KEY": Row(FaultKind.STATUS, 401),
    "MODEL_NOT_ALLOWED": Row(FaultKind.STATUS, 403),
    "MODEL_NOT_FOUND": Row(FaultKind.STATUS, 404),
    "INSUFFICIENT_BALANCE": Row(FaultKind.STATUS, 402),
    "SPEND_CAP_REACHED": Row(FaultKind.STATUS, 402),
    "TOO_MANY_CONCURRENT_REQUESTS": Row(FaultKind.STATUS, 429),
    "RATE_LIMIT_EXCEEDED": Row(FaultKind.STATUS, 429),
    "PRICE_UNKNOWN": Row(FaultKind.STATUS, 402),
    "ALL_PROVIDERS_FAILED": Row(FaultKind.STATUS, 503),
    "SERVICE_UNAVAILABLE": Row(FaultKind.STATUS, 503),
    "INTERNAL_ERROR": Row(FaultKind.STATUS, 500),
    # Never asked for: the outer llmbase keeps answers itself, and manages nobody's accounts.
    "IDEMPOTENCY_KEY_REUSED": Row(FaultKind.STATUS, 500),
    "STREAM_NOT_RESUMABLE": Row(FaultKind.STATUS, 500),
    "ADMIN_REQUIRED": Row(FaultKind.STATUS, 403),
    "ACCOUNT_NOT_FOUND": Row(FaultKind.STATUS, 404),
    "KEY_NOT_FOUND": Row(FaultKind.STATUS, 404),
    "ALREADY_EXISTS": Row(FaultKind.STATUS, 500),
    "UPSTREAM_TRUNCATED": Row(FaultKind.TRUNCATED),
    "UPSTREAM_STALLED": Row(FaultKind.SLOW),
    "UPSTREAM_ERROR": Row(FaultKind.REPORTED),
    "DEADLINE_EXCEEDED": Row(FaultKind.SLOW),
}

# A status without a reason is gRPC's own, or of somebody who is no llmbase.
_BY_BARE_CODE: Mapping[str, Row] = {
    "RESOURCE_EXHAUSTED": BY_REASON["REQUEST_TOO_LARGE"],
    "DEADLINE_EXCEEDED": BY_REASON["DEADLINE_EXCEEDED"],
}
_LOST = ("UNAVAILABLE", "CANCELLED")  # the connection, or the process at its other end
_ANY_OTHER = BY_REASON["INTERNAL_ERROR"]


def from_status(
    code: str, message: str, details: bytes | None, *, begun: bool, out_of_time: bool
) -> ProviderFault | DeadlineExceeded:
    """Return what a status means.

    `code` is its name, `details` the `grpc-status-details-bin` that came with it. `begun` says
    whether some of the answer has arrived, `out_of_time` whether the time we gave is over: a
    deadline of our own is the end of the call, one of theirs is that of an attempt.
    """
    status = _parsed(details)
    info = error_details_pb2.ErrorInfo()
    if not (_unpack(status, info) and info.domain == DOMAIN and info.reason in BY_REASON):
        return _bare(code, begun=begun, out_of_time=out_of_time)
    if info.reason == "DEADLINE_EXCEEDED" and out_of_time:
        return _too_late()
    row = BY_REASON[info.reason]
    return ProviderFault(
        row.kind,
        f"reason {info.reason}",
        status=row.status,
        told=message,
        retry_after=_retry_after(status),
        violations=_violations(status),
    )


def _bare(code: str, *, begun: bool, out_of_time: bool) -> ProviderFault | DeadlineExceeded:
    if code == "DEADLINE_EXCEEDED" and out_of_time:
        return _too_late()
    if code in _LOST:
        row = Row(FaultKind.TRUNCATED if begun else FaultKind.CONNECT)
    else:
        row = _BY_BARE_CODE.get(code, _ANY_OTHER)
    # The text is not passed on: it is about our own connection.
    return ProviderFault(row.kind, f"gRPC status {code}", status=row.status)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The time for the provider's answer ran out.")


def _parsed(details: bytes | None) -> status_pb2.Status:
    try:
        return status_pb2.Status.FromString(details or b"")
    except DecodeError:
        return status_pb2.Status()


def _unpack(status: status_pb2.Status, detail: Message) -> bool:
    """Fill `detail` from the first packed detail of its type; tell whether there is one."""
    try:
        return any(packed.Unpack(detail) for packed in status.details)
    except DecodeError:
        return False


def _retry_after(status: status_pb2.Status) -> float | None:
    retry = error_details_pb2.RetryInfo()
    if not _unpack(status, retry):
        return None
    return max(0.0, float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9))


def _violations(status: status_pb2.Status) -> tuple[FieldViolation, ...]:
    bad_request = error_details_pb2.BadRequest()
    _unpack(status, bad_request)
    return tuple(
        FieldViolation(violation.field, violation.description)
        for violation in bad_request.field_violations[:_MOST_VIOLATIONS]
    )
