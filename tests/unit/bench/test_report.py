"""Ratios, what counts as worse, and the pictures."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.bench import flame, report
from tests.bench.profile import read_folded, rooms
from tests.bench.target import Figures

RESULTS: dict[str, dict[str, Figures]] = {
    "unary": {
        "direct": {"cpu_ms_per_request": 0.0, "ms_p50": 0.1},
        "skeleton": {"cpu_ms_per_request": 0.2, "ms_p50": 0.5},
        "llmbase": {"cpu_ms_per_request": 0.3, "ms_p50": 0.6},
    },
    "held": {"skeleton": {"kb_per_stream": 30.0}, "llmbase": {"kb_per_stream": 60.0}},
}


def test_ratios_are_to_the_skeleton_of_the_same_shape() -> None:
    found = report.ratios(RESULTS)
    assert found == pytest.approx(
        {"unary: llmbase / skeleton": 1.5, "held: llmbase / skeleton": 2.0}
    )
    assert set(report.checked(found)) == {"unary: llmbase / skeleton"}


def test_latency_is_also_told_as_what_is_added_to_asking_directly() -> None:
    results = {
        scenario: {s: dict(f) for s, f in them.items()} for scenario, them in RESULTS.items()
    }
    report.added(results)
    assert results["unary"]["llmbase"]["added_ms_p50"] == pytest.approx(0.5)


def test_a_ratio_is_worse_when_it_is_more_than_15_percent_above_or_missing() -> None:
    baseline = {"a": 2.0, "b": 2.0, "c": 2.0}
    assert report.worse({"a": 2.29, "b": 2.31}, baseline) == ["b", "c"]


def test_the_table_names_every_subject_and_figure() -> None:
    text = report.table(RESULTS, report.ratios(RESULTS))
    for word in ("unary", "llmbase", "cpu_ms_per_request", "0.300", "1.50"):
        assert word in text


def test_samples_are_summed_by_the_file_of_the_innermost_frame() -> None:
    stacks = read_folded("run (a.py:1);step (b/c.py:2) 3\nrun (a.py:1) 1\n")
    assert rooms(stacks) == Counter({"b/c.py": 3, "a.py": 1})


def test_a_flame_graph_has_every_frame_that_is_wide_enough() -> None:
    stacks = Counter({("run (a.py:1)", "<step> (b.py:2)"): 99, ("run (a.py:1)",): 1})
    picture = flame.svg(stacks, "unary")
    assert "&lt;step&gt; (b.py:2) 99.0 %" in picture
    assert picture.count("<rect") == 3
