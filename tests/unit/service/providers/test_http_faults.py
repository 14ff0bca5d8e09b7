"""An HTTP answer that is not one: what fault it is, and what of it may be told."""

from datetime import UTC, datetime

import pytest

from service.errors import FaultKind
from service.providers.http_faults import from_status, redact, retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_request_itself_is_at_fault(status):
    assert from_status(status, {}, "no").kind is FaultKind.REJECTED


@pytest.mark.parametrize(
    "status", [301, 401, 402, 403, 404, 405, 408, 409, 418, 429, 500, 503, 529]
)
def test_another_target_may_do_better(status):
    fault = from_status(status, {"Retry-After": "7"}, "no")
    assert (fault.kind, fault.status, fault.retry_after) == (FaultKind.STATUS, status, 7)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "20"}, 20),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "20", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30),
        ({"Retry-After": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"retry-after-ms": "²"}, None),
    ],
)
def test_the_wait_that_a_provider_asks_for_is_read(headers, seconds):
    assert retry_after(headers, lambda: NOW) == seconds


@pytest.mark.parametrize(
    "secret",
    [
        "our-own-key-0001",
        "sk-proj-abcdefghij",
        "gsk_abcdefghijkl",
        "Bearer abc.def.ghi",
        "AIzaSyA1234567890abcdefghij",
        "llmbase_abcdefghijkl",
    ],
)
def test_a_credential_in_a_providers_message_is_taken_out(secret):
    told = redact(f"Incorrect API key provided: {secret}. Sorry.", ("our-own-key-0001",))
    assert secret.removeprefix("Bearer ") not in told
    assert told.startswith("Incorrect API key provided: [redacted]")
    assert told.endswith("Sorry.")


def test_a_providers_message_is_bounded_and_of_one_line():
    assert redact("a\n\n b" + "x" * 1000, ()).startswith("a bx")
    assert len(redact("x" * 1000, ())) == 500
