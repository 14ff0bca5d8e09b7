"""Every error has its status, every reason its error."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from llmbase.v1.error_reason_pb2 import ErrorReason

from service import errors
from service.rpc import status


def _subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def _example(cls):
    if issubclass(cls, errors.InvalidRequest):
        return cls("messages[0].role", "must be one of user, system")
    return cls("message", retry_after=1.5, facts={"provider": "acme"})


def _details(said):
    parsed = status_pb2.Status.FromString(dict(said.trailing_metadata)[status.DETAILS_KEY])
    found = {}
    for detail in parsed.details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
        ):
            if detail.Is(kind.DESCRIPTOR):
                found[kind] = kind.FromString(detail.value)
    return parsed, found


@pytest.mark.parametrize("cls", sorted(set(_subclasses(errors.Error)), key=lambda c: c.__name__))
def test_every_error_has_a_code_and_a_reason_of_the_contract(cls):
    said = status.from_error(_example(cls))
    parsed, details = _details(said)
    assert parsed.code == said.code.value[0]
    info = details[error_details_pb2.ErrorInfo]
    assert info.domain == "llmbase.ai"
    assert f"ERROR_REASON_{info.reason}" in ErrorReason.keys()  # noqa: SIM118 - not a dict
    assert said.code is not grpc.StatusCode.OK


def test_every_reason_is_raised_by_some_error():
    raised = {status.from_error(_example(cls)).reason for cls in set(_subclasses(errors.Error))}
    known = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - not a dict
    assert raised == known - {"UNSPECIFIED"}


def test_details_carry_the_field_the_wait_and_the_facts():
    _, details = _details(status.from_error(_example(errors.InvalidRequest)))
    (violation,) = details[error_details_pb2.BadRequest].field_violations
    assert violation.field == "messages[0].role"
    assert violation.description == "must be one of user, system"
    _, details = _details(status.from_error(_example(errors.AllProvidersFailed)))
    assert details[error_details_pb2.RetryInfo].retry_delay.ToTimedelta().total_seconds() == 1.5
    assert dict(details[error_details_pb2.ErrorInfo].metadata) == {"provider": "acme"}


def test_whose_limit_was_met_and_what_is_left_is_told():
    error = errors.RateLimitExceeded(
        "message",
        retry_after=0.25,
        quotas=(errors.QuotaViolation("key:ci", "60 requests per minute"),),
        headers=(("x-ratelimit-remaining-requests", "0"),),
    )
    said = status.from_error(error)
    parsed, details = _details(said)
    assert said.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details[error_details_pb2.RetryInfo].retry_delay.nanos == 250_000_000
    quota = error_details_pb2.QuotaFailure()
    assert any(packed.Unpack(quota) for packed in parsed.details)
    (violation,) = quota.violations
    assert (violation.subject, violation.description) == ("key:ci", "60 requests per minute")
    assert dict(said.trailing_metadata)["x-ratelimit-remaining-requests"] == "0"
