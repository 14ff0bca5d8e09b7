"""Errors of Amazon Bedrock: in the body of an HTTP error, and as exceptions inside a stream.

An exception inside a stream is classified by its type, as the status that the same exception has
in HTTP; never by its message.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.http_faults import REJECTING, Verdict, redact, weigh

_STATUSES = {
    "validationException": 400,
    "accessDeniedException": 403,
    "resourceNotFoundException": 404,
    "modelTimeoutException": 408,
    "modelErrorException": 424,
    "modelStreamErrorException": 424,
    "modelNotReadyException": 429,
    "throttlingException": 429,
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}
# Of what stands before the service (sign-in, quotas): some come as a 400, none is the request's.
_STATUSES_BEFORE = {
    "expiredTokenException": 403,
    "incompleteSignature": 403,
    "incompleteSignatureException": 403,
    "invalidClientTokenId": 403,
    "invalidSignatureException": 403,
    "missingAuthenticationToken": 403,
    "missingAuthenticationTokenException": 403,
    "notAuthorized": 403,
    "optInRequired": 403,
    "requestExpired": 403,
    "signatureDoesNotMatch": 403,
    "unrecognizedClientException": 403,
    "serviceQuotaExceededException": 429,
    "tooManyRequestsException": 429,
    "throttling": 429,
    "internalFailure": 500,
    "serviceUnavailable": 503,
}
_FAULTS = ("exception:", "error:")  # what the framer puts before the type of what is no event
_MOST_TOLD = 2000  # characters; whoever passes a message on bounds it for its reader


def is_error(event: Event) -> bool:
    """Whether an event is an error."""
    return event.name.startswith(_FAULTS)


def fault(event: Event) -> ProviderFault:
    """Return the fault that an error inside a stream means."""
    word = event.name.partition(":")[2]
    # An exception that the stream's own model does not know comes as an error, spelled Like This.
    status = _STATUSES.get(word[:1].lower() + word[1:])
    kind = FaultKind.REPORTED if status is None else FaultKind.STATUS
    if status in REJECTING:
        kind = FaultKind.REJECTED
    known = word if status is not None else "of an unknown type"
    told = redact(_told(event.data), ())
    return ProviderFault(kind, f"an error in a stream, {known}", status=status, told=told)


def verdict(status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Return the status to go by: the error's type is in a header, or in the body.

    The type can have a name space before it and an address behind it.
    """
    word = headers.get("x-amzn-ErrorType") or _type(body)
    word = word.partition(":")[0].rpartition("#")[2]
    word = word[:1].lower() + word[1:]
    return weigh(status, _STATUSES.get(word) or _STATUSES_BEFORE.get(word))


def message(body: bytes) -> str:
    """Return the provider's own message in an error body; "" where there is none."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    # What stands before the service itself (sign-in, routing) writes a capital letter.
    found = (given.get("message") or given.get("Message")) if isinstance(given, dict) else None
    return found[:_MOST_TOLD] if isinstance(found, str) else ""


def _type(body: bytes) -> str:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    word = given.get("__type") if isinstance(given, dict) else None
    return word if isinstance(word, str) else ""


def _told(data: bytes) -> str:
    """Return what an error inside a stream says: an exception in JSON, an error in plain text."""
    return message(data) if data.startswith(b"{") else data[:_MOST_TOLD].decode(errors="replace")
