"""W3C Trace Context: what is one, what is none, and what is said of it."""

import pytest

from telemetry.trace_context import parse

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{ID}-{SPAN}-01"


def test_its_parts_are_known_and_it_is_sent_as_it_came() -> None:
    context = parse(PARENT, "a=1,b=2")
    assert context is not None
    assert (context.trace_id, context.span_id, context.flags) == (int(ID, 16), int(SPAN, 16), 1)
    assert context.entries() == (("traceparent", PARENT), ("tracestate", "a=1,b=2"))


def test_without_a_state_none_is_sent() -> None:
    context = parse(PARENT)
    assert context is not None
    assert context.entries() == (("traceparent", PARENT),)


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "x" * 55,
        PARENT.upper(),
        PARENT + " ",
        PARENT + "-more",  # version 00 ends here
        f"ff-{ID}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"01-{ID}-{SPAN}-01-{'x' * 128}",
        f"{PARENT},{PARENT}",
    ],
)
def test_what_is_not_valid_is_none(parent: str | None) -> None:
    assert parse(parent, "a=1") is None


def test_a_later_version_may_say_more() -> None:
    assert parse(f"01-{ID}-{SPAN}-01-more") is not None


@pytest.mark.parametrize("state", ["a=1\n", "ä=1", "a" * 513])
def test_a_state_that_cannot_be_passed_on_is_left_out(state: str) -> None:
    assert parse(PARENT, state) == (PARENT, "")
