"""Several processes' pages as one: sums that never fall, and facts that are not added up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.joined_pages import join
from telemetry.metric import Kind, Metric
from telemetry.metrics import (
    ACTIVE_STREAMS,
    CALLS,
    CONFIG_GENERATION,
    FIRST_CONTENT,
    METRICS,
    Metrics,
)
from tests.support.metrics_page import series

KNOWN = {"method": {"A", "B"}, "reason": {"OK"}, "model": {"m", 'a "quoted" \\ model\n'}}


def _process() -> Metrics:
    return Metrics(KNOWN)


def test_counters_histograms_and_gauges_are_added_up() -> None:
    one, two = _process(), _process()
    for process, calls, streams in ((one, 3, 7), (two, 4, 2)):
        process.count(CALLS, calls, method="A", reason="OK")
        process.set(ACTIVE_STREAMS, streams)
        process.observe(FIRST_CONTENT, 0.3, model="m")
    two.count(CALLS, method="B", reason="OK")
    found = series(join([one.render(), two.render()]))
    assert found["llmbase_calls_total", ("A", "OK")] == 7
    assert found["llmbase_calls_total", ("B", "OK")] == 1
    assert found["llmbase_active_streams", ()] == 9
    assert found["llmbase_first_content_seconds_bucket", ("0.2", "m")] == 0
    assert found["llmbase_first_content_seconds_bucket", ("0.35", "m")] == 2
    assert found["llmbase_first_content_seconds_count", ("m",)] == 2
    assert found["llmbase_first_content_seconds_sum", ("m",)] == pytest.approx(0.6)


def test_what_is_the_same_in_every_process_is_not_added_up() -> None:
    one, two = _process(), _process()
    one.set(CONFIG_GENERATION, 3)
    two.set(CONFIG_GENERATION, 4)
    assert series(join([one.render(), two.render()]))["llmbase_config_generation", ()] == 4


def test_of_a_process_that_has_ended_its_counts_stay_and_its_gauges_go() -> None:
    gone, runs = _process(), _process()
    gone.count(CALLS, 5, method="A", reason="OK")
    gone.set(ACTIVE_STREAMS, 9)
    gone.observe(FIRST_CONTENT, 1, model="m")
    runs.count(CALLS, method="A", reason="OK")
    found = series(join([runs.render()], [gone.render()]))
    assert found["llmbase_calls_total", ("A", "OK")] == 6
    assert found["llmbase_active_streams", ()] == 0
    assert found["llmbase_first_content_seconds_count", ("m",)] == 1


def test_one_page_is_itself_names_and_words_included() -> None:
    process = _process()
    for metric in METRICS:
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind is Kind.HISTOGRAM:
            process.observe(metric, 0.5, **labels)
        elif metric.kind is Kind.COUNTER:
            process.count(metric, 2, **labels)
    process.observe(FIRST_CONTENT, 1, model='a "quoted" \\ model\n')
    assert join([process.render()]) == process.render()
    assert join([process.render(), b""]) == process.render()
    assert join([]) == b""


def test_a_name_that_means_two_things_is_refused() -> None:
    pages = [
        Metrics({}, [Metric("llmbase_thing", kind, "A thing.")]).render()
        for kind in (Kind.GAUGE, Kind.COUNTER)
    ]
    pages[1] = pages[1].replace(b"llmbase_thing_total", b"llmbase_thing")
    with pytest.raises(ValueError, match="llmbase_thing"):
        join(pages)


_COUNTS = st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 10**9)), max_size=5)


@given(st.lists(_COUNTS, max_size=4))
def test_the_sum_is_that_of_all_and_in_any_order(processes: list[list[tuple[str, int]]]) -> None:
    pages = []
    for counts in processes:
        process = _process()
        for method, number in counts:
            process.count(CALLS, number, method=method, reason="OK")
        pages.append(process.render())
    found = series(join(pages))
    assert found == series(join(pages[::-1]))
    for method in "AB":
        total = sum(number for counts in processes for name, number in counts if name == method)
        assert found.get(("llmbase_calls_total", (method, "OK")), 0) == total
