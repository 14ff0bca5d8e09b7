"""The page of metrics, by Prometheus' own linter."""

from __future__ import annotations

from telemetry.joined_pages import join
from telemetry.metric import Kind
from telemetry.metrics import METRICS, Metrics
from tests.support.promtool import promtool


def page() -> bytes:
    """A page on which every metric of the list has a value."""
    metrics = Metrics({})
    for metric in METRICS:
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind is Kind.HISTOGRAM:
            metrics.observe(metric, 0.1, **labels)
        elif metric.kind is Kind.COUNTER:
            metrics.count(metric, **labels)
        else:
            metrics.set(metric, 1, **labels)
    return metrics.render()


def test_prometheus_linter_has_nothing_to_say() -> None:
    promtool("check", "metrics", page=page())


def test_nor_of_several_processes_pages_as_one() -> None:
    promtool("check", "metrics", page=join([page(), page()]))
