"""The list of metrics, by the rules that Prometheus' own linter has; and the registry's bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from telemetry.metric import Kind, Metric
from telemetry.metrics import (
    BREAKERS,
    CALLS,
    IGNORED_PARAMETERS,
    METRICS,
    PROVIDER_ALERTS,
    Metrics,
    count_ignored,
)
from tests.support.metrics_page import counted, series

# What the linter wants instead of these: seconds, bytes, and a ratio from 0 to 1.
NOT_BASE = (
    *("milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days", "ms"),
    *("kilobytes", "megabytes", "gigabytes", "kb", "mb", "bits", "percent", "percentage"),
)
PAGES = Path(__file__).parents[3] / "docs" / "operations.md"

GAUGE = Metric("llmbase_thing_bytes", Kind.GAUGE, "Its size.")
HISTOGRAM = Metric(
    "llmbase_wait_seconds", Kind.HISTOGRAM, "A wait.", {"model": "the model"}, (0.1, 1.0)
)
EVERY = (*METRICS, GAUGE, HISTOGRAM)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_keeps_to_the_linters_rules(metric: Metric) -> None:
    assert re.fullmatch(r"llmbase(_[a-z][a-z0-9]*)+", metric.name)
    words = metric.name.split("_")
    assert (words[-1] == "total") == (metric.kind is Kind.COUNTER)
    assert not set(words) & {*NOT_BASE, "counter", "gauge", "histogram", "summary"}
    assert words[-1] not in ("count", "sum", "bucket", "info", "created")
    assert metric.help.endswith(".")
    for label, values in metric.labels.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", label) and label not in ("le", "quantile")
        assert values
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(metric.buckets)
    assert not metric.announced or metric.kind is Kind.COUNTER


def test_no_two_metrics_have_the_same_name() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_documentation_has_the_list_and_nothing_else() -> None:
    rows = re.findall(r"^\| (`llmbase_.*) \|$", PAGES.read_text(encoding="utf-8"), re.MULTILINE)
    listed = []
    for metric in METRICS:
        labels = "; ".join(f"`{label}`: {values}" for label, values in metric.labels.items())
        listed.append(f"`{metric.name}` | {metric.kind.value} | {metric.help} | {labels}")
    assert rows == listed


def test_what_nobody_told_of_at_the_start_is_other() -> None:
    metrics = Metrics({"method": ["Known"], "reason": ["OK"]})
    metrics.count(CALLS, method="Known", reason="OK")
    for number in range(100):
        metrics.count(CALLS, method=f"made up {number}", reason="OK")
    assert counted(metrics.render(), CALLS.name) == {("Known", "OK"): 1, ("other", "OK"): 100}


def test_a_label_that_has_no_values_at_all_is_other() -> None:
    metrics = Metrics({})
    metrics.count(PROVIDER_ALERTS, provider="acme", status="401")
    assert counted(metrics.render(), PROVIDER_ALERTS.name) == {("other", "other"): 1}


def test_series_at_hand_are_those_that_are_counted_by_name() -> None:
    metrics = Metrics({"method": ["Known"], "reason": ["OK"]})
    calls = metrics.of(CALLS, "method", "reason")
    calls["Known", "OK"].number += 1
    calls["Late", "OK"].number += 2
    metrics.count(CALLS, method="Known", reason="OK")
    metrics.learn({"method": ["Late"]})
    calls["Late", "OK"].number += 3
    assert counted(metrics.render(), CALLS.name) == {
        ("Known", "OK"): 2,
        ("other", "OK"): 2,
        ("Late", "OK"): 3,
    }


def test_who_keeps_series_names_their_labels_in_order() -> None:
    metrics = Metrics({})
    with pytest.raises(ValueError, match="method, reason"):
        metrics.of(CALLS, "reason", "method")
    with pytest.raises(KeyError):
        metrics.of(HISTOGRAM, "model")


def test_a_series_that_is_to_be_watched_is_there_before_its_first_event() -> None:
    metrics = Metrics({"provider": ["a", "b"], "status": ["401", "403"]})
    assert {key: n for key, n in series(metrics.render()).items() if "alerts" in key[0]} == {
        (PROVIDER_ALERTS.name, (provider, status)): 0.0
        for provider in ("a", "b")
        for status in ("401", "403")
    }


def test_fields_are_counted_by_the_first_step_of_their_path_once_a_request() -> None:
    metrics = Metrics({"parameter": ["messages", "seed", "extra_body"]})
    count_ignored(
        metrics, ("messages[].name", "messages[].content[].x", "seed", "extra_body.y", "who[0]")
    )
    found = counted(metrics.render(), IGNORED_PARAMETERS.name)
    assert found == {("messages",): 1, ("seed",): 1, ("extra_body",): 1, ("other",): 1}


def test_a_gauge_and_a_histogram_hold_what_they_are_given() -> None:
    metrics = Metrics({"model": ["m"]}, EVERY)
    metrics.set(GAUGE, 7)
    metrics.observe(HISTOGRAM, 0.5, model="m")
    metrics.observe(HISTOGRAM, 0.5, model="another")
    found = series(metrics.render())
    assert found[GAUGE.name, ()] == 7
    assert found["llmbase_wait_seconds_bucket", ("0.1", "m")] == 0
    assert found["llmbase_wait_seconds_bucket", ("1.0", "m")] == 1
    assert found["llmbase_wait_seconds_sum", ("other",)] == 0.5


def test_a_known_value_with_a_star_stands_for_what_begins_like_it_the_longest_first() -> None:
    metrics = Metrics({"model": ["m", "a/*", "a/b/*"]}, EVERY)
    for model in ("a/c", "a/b/c", "a/b/*", "a", "m", "m/x"):
        metrics.observe(HISTOGRAM, 1, model=model)
    found = series(metrics.render())
    counts = {key[1]: n for key, n in found.items() if key[0] == "llmbase_wait_seconds_count"}
    assert counts == {("a/*",): 1, ("a/b/*",): 2, ("m",): 1, ("other",): 2}


def test_a_followed_gauge_says_what_is_so_now_within_the_same_bounds() -> None:
    metrics = Metrics({"provider": ["a"], "state": ["open", "closed"]})
    now = {("a", "open"): 1.0, ("made up", "open"): 2.0, ("another", "open"): 3.0}
    metrics.follow(BREAKERS, lambda: now)
    assert counted(metrics.render(), BREAKERS.name) == {("a", "open"): 1, ("other", "open"): 5}
    now.clear()
    now["a", "closed"] = 4.0
    assert counted(metrics.render(), BREAKERS.name) == {("a", "closed"): 4}


def test_a_bucket_has_what_is_as_much_as_its_bound() -> None:
    metrics = Metrics({"model": ["m"]}, EVERY)
    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        metrics.observe(HISTOGRAM, value, model="m")
    found = series(metrics.render())
    buckets = [found["llmbase_wait_seconds_bucket", (le, "m")] for le in ("0.1", "1.0", "+Inf")]
    assert buckets == [2, 4, 5]
    assert found["llmbase_wait_seconds_sum", ("m",)] == pytest.approx(8.65)


def test_a_metric_that_is_not_in_the_list_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Metrics({}).set(GAUGE, 1)


def test_two_registries_know_nothing_of_each_other() -> None:
    one, other = Metrics({"parameter": ["n"]}), Metrics({"parameter": ["n"]})
    count_ignored(one, ["n"])
    assert counted(other.render(), IGNORED_PARAMETERS.name) == {}


def test_the_page_has_every_metric_with_its_help_and_no_births() -> None:
    page = Metrics({}, EVERY).render().decode()
    for metric in EVERY:
        assert f"# HELP {metric.name} {metric.help}\n" in page
        assert f"# TYPE {metric.name} {metric.kind.value}\n" in page
    assert "_created" not in page
