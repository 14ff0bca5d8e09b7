"""What can go wrong, in our own words. No gRPC here: service/rpc/status.py says what it calls each.

Two families that never mix. A `ProviderFault` is what happened to one attempt at one target; it
stays inside. An `Error` is what the caller is told.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self


class FaultKind(enum.Enum):
    """How an attempt failed; decides whether the next target is tried and what a cut is called."""

    CONNECT = "connect"  # no connection, or it was lost before the answer began
    SLOW = "slow"  # our limit on first content, or on the answer's silence, ran out
    STATUS = "status"  # an HTTP status (or an in-stream error) that another target may not give
    REJECTED = "rejected"  # the provider's 400, 413 or 422: the request itself is at fault
    TRUNCATED = "truncated"  # the answer ended without its terminal event
    MALFORMED = "malformed"  # the answer is not what the dialect's documentation promises
    REPORTED = "reported"  # the provider reported an error inside its answer


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field by its path (`messages[0].content[1].image_url.url`) and what is allowed there."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """Whose limit was met (`account:acme`, `key:ci`), and which."""

    subject: str
    description: str


class ProviderFault(Exception):
    """One attempt at one target failed.

    `detail` is for logs and holds no prompt, answer or secret; `told` is the provider's own
    message: it goes to nobody but the caller who sent the request, and is redacted for it; so are
    `violations`, where the provider names fields as we do. `retry_after` is in seconds, as the
    provider asked.
    """

    def __init__(
        self,
        kind: FaultKind,
        detail: str,
        *,
        status: int | None = None,
        told: str = "",
        retry_after: float | None = None,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.status = status
        self.told = told
        self.retry_after = retry_after
        self.violations = violations


class Error(Exception):
    """What the caller is told. `retry_after` is in seconds; `facts` go into ErrorInfo.metadata.

    `headers` are told beside it, by the names that REST has for them: what is left of limits.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        facts: dict[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        quotas: tuple[QuotaViolation, ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.facts = facts or {}
        self.violations = violations
        self.quotas = quotas
        self.headers = headers

    def again(self) -> Self:
        """Return the same error once more, for another caller: a traceback is one task's."""
        same = type(self).__new__(type(self), *self.args)
        same.__dict__.update(self.__dict__)
        return same


class InvalidRequest(Error):
    """A field is missing, of the wrong type or out of range."""

    def __init__(self, field: str, description: str) -> None:
        violation = FieldViolation(field, description)
        super().__init__(f"{field}: {description}", violations=(violation,))


class UnsupportedCapability(InvalidRequest):
    """The model does not advertise what the request needs."""


class RejectedByProvider(Error):
    """The provider refused the request itself."""


class MissingApiKey(Error):
    """No API key was sent."""


class InvalidApiKey(Error):
    """The API key is malformed, unknown or revoked."""


class ModelNotAllowed(Error):
    """The API key may not use this model."""


class AdminRequired(Error):
    """Only an administrator's key may do this."""


class InsufficientBalance(Error):
    """The account's balance does not cover what the request may cost."""


class SpendCapReached(Error):
    """What the request may cost does not fit under the key's spend cap."""


class PriceUnknown(Error):
    """The model has no price, and the account pays for what it uses."""


class TooManyConcurrentRequests(Error):
    """The account, or the key, has as many calls open as it may."""


class RateLimitExceeded(Error):
    """The key's requests or tokens per minute are used up."""


class AccountNotFound(Error):
    """No account of that id."""


class KeyNotFound(Error):
    """No API key of that id."""


class AlreadyExists(Error):
    """The id is taken."""


class ModelNotFound(Error):
    """No model of that id."""


class RequestTooLarge(Error):
    """The request is larger than the server takes."""


class AllProvidersFailed(Error):
    """Every target failed before its first content."""


class UpstreamTruncated(Error):
    """After the first content, the stream ended without a terminal event."""


class UpstreamStalled(Error):
    """After the first content, the stream went silent."""


class UpstreamError(Error):
    """After the first content, the provider reported an error or sent garbage."""


class ServiceUnavailable(Error):
    """This server is draining or cannot reach its store."""


class DeadlineExceeded(Error):
    """The caller's deadline, or the target's total limit, ran out."""


class TotalLimitExceeded(DeadlineExceeded):
    """The target's total limit ran out: the end of the call, and the target's failure."""


class IdempotencyKeyReused(InvalidRequest):
    """The idempotency key belongs to another request."""


class StreamNotResumable(Error):
    """What is to be gone on with, or repeated, is not kept (any longer)."""


class InternalError(Error):
    """A fault of llmbase itself."""
