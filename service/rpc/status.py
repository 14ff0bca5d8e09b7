"""What gRPC calls each of our errors: the only table from service/errors.py to a Status."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from llmbase.v1.error_reason_pb2 import ErrorReason

from service import errors

DOMAIN = "llmbase.ai"
DETAILS_KEY = "grpc-status-details-bin"

_CODES: dict[type[errors.Error], tuple[grpc.StatusCode, str]] = {
    errors.InvalidRequest: (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    errors.UnsupportedCapability: (grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_CAPABILITY"),
    errors.RejectedByProvider: (grpc.StatusCode.INVALID_ARGUMENT, "REJECTED_BY_PROVIDER"),
    errors.MissingApiKey: (grpc.StatusCode.UNAUTHENTICATED, "MISSING_API_KEY"),
    errors.InvalidApiKey: (grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY"),
    errors.ModelNotAllowed: (grpc.StatusCode.PERMISSION_DENIED, "MODEL_NOT_ALLOWED"),
    errors.AdminRequired: (grpc.StatusCode.PERMISSION_DENIED, "ADMIN_REQUIRED"),
    errors.InsufficientBalance: (grpc.StatusCode.RESOURCE_EXHAUSTED, "INSUFFICIENT_BALANCE"),
    errors.SpendCapReached: (grpc.StatusCode.RESOURCE_EXHAUSTED, "SPEND_CAP_REACHED"),
    errors.PriceUnknown: (grpc.StatusCode.FAILED_PRECONDITION, "PRICE_UNKNOWN"),
    errors.TooManyConcurrentRequests: (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_CONCURRENT_REQUESTS",
    ),
    errors.RateLimitExceeded: (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED"),
    errors.AccountNotFound: (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND"),
    errors.KeyNotFound: (grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND"),
    errors.AlreadyExists: (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS"),
    errors.ModelNotFound: (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
    errors.RequestTooLarge: (grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
    errors.AllProvidersFailed: (grpc.StatusCode.UNAVAILABLE, "ALL_PROVIDERS_FAILED"),
    errors.UpstreamTruncated: (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_TRUNCATED"),
    errors.UpstreamStalled: (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_STALLED"),
    errors.UpstreamError: (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_ERROR"),
    errors.ServiceUnavailable: (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.DeadlineExceeded: (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    errors.TotalLimitExceeded: (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    errors.IdempotencyKeyReused: (grpc.StatusCode.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REUSED"),
    errors.StreamNotResumable: (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_NOT_RESUMABLE"),
    errors.InternalError: (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR"),
}


@dataclass(frozen=True, slots=True)
class Status:
    """A gRPC status as `context.abort` takes it; `reason` is ErrorInfo's."""

    code: grpc.StatusCode
    reason: str
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def reason(error: errors.Error) -> str:
    """Return the reason of an error alone."""
    return _CODES[type(error)][1]


def from_error(error: errors.Error) -> Status:
    """Return the status of an error, with ErrorInfo and what else it carries as details."""
    code, reason = _CODES[type(error)]
    ErrorReason.Value(f"ERROR_REASON_{reason}")  # a reason that is not in the proto is a fault here
    status = status_pb2.Status(code=code.value[0], message=error.message)
    for detail in _details(error, reason):
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    metadata = ((DETAILS_KEY, status.SerializeToString()), *error.headers)
    return Status(code, reason, error.message, metadata)


def _details(error: errors.Error, reason: str) -> list[Message]:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=error.facts)
    ]
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(
                field=violation.field, description=violation.description
            )
        details.append(bad_request)
    if error.quotas:
        quota = error_details_pb2.QuotaFailure()
        for met in error.quotas:
            quota.violations.add(subject=met.subject, description=met.description)
        details.append(quota)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details
