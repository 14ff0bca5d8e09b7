"""Money on the command line is exact."""

from __future__ import annotations

from decimal import Decimal

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.dollars import Dollars, dollars
from cli.key_options import End, Span, SpendCap


def _read(text: str) -> int:
    return Dollars().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("25", 25 * 10**9),
        ("0.50", 500_000_000),
        ("$1.5", 1_500_000_000),
        ("-0.000000001", -1),
        ("0", 0),
        ("999999999.999999999", 10**18 - 1),
    ],
)
def test_dollars_are_read_to_the_last_decimal(text, nanos):
    assert _read(text) == nanos


@pytest.mark.parametrize(
    "text", ["", "1e3", "1.0000000001", ".5", "1,000", "1.", "nan", "inf", "--1", "1000000000", "x"]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(click.BadParameter, match="US dollars"):
        _read(text)


@given(st.integers(-(10**18) + 1, 10**18 - 1))
def test_what_is_written_is_read_as_the_same(nanos):
    assert Decimal(dollars(nanos)).scaleb(9) == nanos
    assert _read(dollars(nanos)) == nanos


@pytest.mark.parametrize("text", ["25", "25/year", "/day", "x/month", "-"])
def test_a_cap_needs_an_amount_and_a_period(text):
    with pytest.raises(click.BadParameter):
        SpendCap().convert(text, None, None)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2w", 1_209_600)])
def test_a_length_of_time_has_a_unit(text, seconds):
    assert Span().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "1.5h", "-1h", "2026-13-01", "1y"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(click.BadParameter):
        Span().convert(text, None, None)
    with pytest.raises(click.BadParameter):
        End().convert(text, None, None)


def test_a_day_begins_in_utc():
    assert End().convert("2027-01-01", None, None) == 1_798_761_600
