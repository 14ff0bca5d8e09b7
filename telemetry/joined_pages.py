"""The pages of several processes as one: what a machine with several workers shows. Pure.

Counters, histograms and gauges are added up, except gauges that are the same fact in every process.
Of a process that has ended, what it counted stays: the sums would fall without it, and whoever
reads them would take that for a start from zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from telemetry.metric import Metric
from telemetry.metrics import METRICS

_GAUGE = "gauge"

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]  # by a sample's name and its labels


def join(
    pages: Iterable[bytes], ended: Iterable[bytes] = (), metrics: Sequence[Metric] = METRICS
) -> bytes:
    """Return one page of those of processes that run, and of the last ones of those that ended.

    Of `metrics` is known what is not to be added up. Raises ValueError for what is no page.
    """
    joined = _Joined(frozenset(metric.name for metric in metrics if metric.shared))
    for page in pages:
        for family in _families(page):
            joined.add(family)
    for page in ended:
        for family in _families(page):
            if family.type != _GAUGE:
                joined.add(family)
    return generate_latest(joined)


class _Joined(Collector):
    """Families by name, in the order in which they came; `shared` are the names of those gauges."""

    def __init__(self, shared: frozenset[str]) -> None:
        self._shared = shared
        self._families: dict[str, Family] = {}
        self._values: dict[str, Values] = {}

    def add(self, family: Family) -> None:
        """Raises ValueError for a family of another kind than before."""
        first = self._families.setdefault(family.name, family)
        if first.type != family.type:
            raise ValueError(f"{family.name} is a {first.type} and a {family.type}")
        values = self._values.setdefault(family.name, {})
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            if key in values and family.name in self._shared:
                values[key] = max(values[key], sample.value)
            else:
                values[key] = values.get(key, 0.0) + sample.value

    def collect(self) -> Iterator[Family]:
        for name, first in self._families.items():
            family = Family(name, first.documentation, first.type)
            for (sample, labels), value in self._values[name].items():
                family.add_sample(sample, dict(labels), value)
            yield family


def _families(page: bytes) -> Iterator[Family]:
    yield from text_string_to_metric_families(page.decode())
