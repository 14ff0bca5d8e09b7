"""What each reason of another llmbase means here: every reason has a row, and no text is read."""

import grpc
import pytest
from llmbase.v1.error_reason_pb2 import ErrorReason

from service.errors import DeadlineExceeded, FaultKind, FieldViolation
from service.providers.llmbase_faults import BY_REASON, from_status
from tests.unit.service.providers.scripted_llmbase import details

REASONS = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()][1:]  # noqa: SIM118
ABOUT_THE_REQUEST = {
    "INVALID_REQUEST",
    "UNSUPPORTED_CAPABILITY",
    "REJECTED_BY_PROVIDER",
    "REQUEST_TOO_LARGE",
}


def _fault(code="UNKNOWN", packed=None, *, begun=False, out_of_time=False):
    return from_status(code, "as it is", packed, begun=begun, out_of_time=out_of_time)


def test_every_reason_of_the_contract_has_a_row():
    assert set(BY_REASON) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_only_what_is_said_of_the_request_keeps_from_the_next_target(reason):
    fault = _fault(packed=details(reason))
    assert (fault.kind is FaultKind.REJECTED) == (reason in ABOUT_THE_REQUEST)
    assert fault.told == "as it is"
    assert reason in fault.detail


@pytest.mark.parametrize(
    ("reason", "kind", "status"),
    [
        ("REQUEST_TOO_LARGE", FaultKind.REJECTED, 413),
        ("MISSING_API_KEY", FaultKind.STATUS, 401),
        ("INVALID_API_KEY", FaultKind.STATUS, 401),
        ("INSUFFICIENT_BALANCE", FaultKind.STATUS, 402),
        ("MODEL_NOT_ALLOWED", FaultKind.STATUS, 403),
        ("MODEL_NOT_FOUND", FaultKind.STATUS, 404),
        ("RATE_LIMIT_EXCEEDED", FaultKind.STATUS, 429),
        ("INTERNAL_ERROR", FaultKind.STATUS, 500),
        ("ALL_PROVIDERS_FAILED", FaultKind.STATUS, 503),
        ("UPSTREAM_TRUNCATED", FaultKind.TRUNCATED, None),
        ("UPSTREAM_STALLED", FaultKind.SLOW, None),
        ("UPSTREAM_ERROR", FaultKind.REPORTED, None),
    ],
)
def test_a_reason_is_the_fault_that_an_http_provider_would_have_caused(reason, kind, status):
    fault = _fault(packed=details(reason))
    assert (fault.kind, fault.status) == (kind, status)


def test_the_wait_that_is_asked_for_is_kept_to_the_fraction():
    assert _fault(packed=details("RATE_LIMIT_EXCEEDED", retry=1.25)).retry_after == 1.25
    assert _fault(packed=details("RATE_LIMIT_EXCEEDED", retry=-3)).retry_after == 0
    assert _fault(packed=details("RATE_LIMIT_EXCEEDED")).retry_after is None


def test_the_fields_that_are_named_keep_their_names():
    fault = _fault(packed=details("INVALID_REQUEST", fields=[("n", "must be 1"), ("seed", "no")]))
    assert fault.violations == (FieldViolation("n", "must be 1"), FieldViolation("seed", "no"))


def test_there_is_an_end_to_the_fields_that_are_listened_to():
    many = [(f"stop[{i}]", "no") for i in range(1000)]
    assert len(_fault(packed=details("INVALID_REQUEST", fields=many)).violations) < 100


@pytest.mark.parametrize("packed", [None, details("DEADLINE_EXCEEDED")], ids=["bare", "reason"])
def test_a_deadline_is_the_end_of_the_call_only_when_it_is_the_one_we_gave(packed):
    code = "DEADLINE_EXCEEDED"
    assert isinstance(_fault(code, packed, out_of_time=True), DeadlineExceeded)
    assert _fault(code, packed).kind is FaultKind.SLOW


@pytest.mark.parametrize("code", ["UNAVAILABLE", "CANCELLED"])
def test_a_connection_that_is_lost_is_a_cut_once_there_is_content(code):
    assert _fault(code).kind is FaultKind.CONNECT
    assert _fault(code, begun=True).kind is FaultKind.TRUNCATED


@pytest.mark.parametrize("code", [code.name for code in grpc.StatusCode])
def test_a_status_without_a_reason_tells_the_caller_nothing_of_its_text(code):
    assert _fault(code).told == ""


def test_a_bare_status_is_ours_to_read():
    too_large = _fault("RESOURCE_EXHAUSTED")
    assert (too_large.kind, too_large.status) == (FaultKind.REJECTED, 413)
    other = _fault("UNIMPLEMENTED")
    assert (other.kind, other.status) == (FaultKind.STATUS, 500)


@pytest.mark.parametrize(
    "packed",
    [
        b"\xff\xff\xff",
        b"",
        details("MODEL_NOT_FOUND", domain="elsewhere.example"),
        details("A_REASON_OF_A_LATER_RELEASE"),
    ],
)
def test_details_that_say_nothing_leave_the_code(packed):
    assert _fault("UNAVAILABLE", packed).kind is FaultKind.CONNECT
