"""Bars of text."""

from __future__ import annotations

from cli.bars import bars


def _lengths(chart: str, mark: str) -> list[int]:
    return [line.count(mark) for line in chart.splitlines()]


def test_the_longest_bar_fills_the_line_and_the_others_are_in_proportion():
    chart = bars(["a", "bb"], [10, 5], ["ten", "5"], width=27, plain=True)
    assert chart.splitlines() == ["a  ################### ten", "bb ######### 5"]


def test_a_terminal_that_can_has_blocks_to_an_eighth():
    chart = bars(["a", "b"], [16, 1], ["", ""], width=24, plain=False)
    assert _lengths(chart, "█") == [20, 1]
    assert chart.splitlines()[1].startswith("b █▎")


def test_what_is_not_nothing_is_seen_and_nothing_is_not():
    for plain, mark in ((True, "|"), (False, "▏")):
        chart = bars(["a", "b", "c"], [10**30, 1, 0], ["", "", ""], width=40, plain=plain)
        assert _lengths(chart, mark) == [0, 1, 0]


def test_all_zeros_and_a_narrow_terminal_are_no_trouble():
    assert bars(["a"], [0], ["0"], width=1, plain=True) == "a  0"
    assert _lengths(bars(["a" * 50], [3], ["3"], width=20, plain=True), "#") == [10]
