"""A registry that keeps to a list of metrics, and to the label values that it was told of.

A label takes the values it was told of, and `other` for all else: what a caller or a provider sends
never makes a series. A value that ends in `*` stands for all that begin like it.

Numbers are counted by the one thread that serves, so they need no locks; the client library, whose
do, is asked for its form of them when somebody reads the page.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from prometheus_client import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from telemetry.metric import Kind, Metric

OTHER = "other"

Values = tuple[str, ...]  # of labels, in the order of their metric's
# What a gauge says now.
Reading = Callable[[], Mapping[Values, float]]


class Series:
    """One number, or the numbers of a histogram: how many were in each bucket, and their sum.

    Who counts adds to `number`.
    """

    __slots__ = ("bounds", "counts", "number")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.number: float = 0
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Add a value to a histogram, in the unit of its name."""
        self.number += value
        self.counts[bisect_left(self.bounds, value)] += 1


class AllSeries(dict[Values, Series]):
    """The series of one metric, by the values of its labels; `bounded` has those that may be."""

    def __init__(self, metric: Metric, bounded: Callable[[Metric, Values], Values]) -> None:
        super().__init__()
        self._metric = metric
        self._bounded = bounded

    def __missing__(self, given: Values) -> Series:
        """Find, or make, the series in which values count that have none of their own."""
        values = self._bounded(self._metric, given)
        if values not in self:
            self[values] = Series(self._metric.buckets)
        return self[values]


class Registry:
    """The metrics of one process. `known` has the values that each label may take."""

    def __init__(self, known: Mapping[str, Collection[str]], metrics: Sequence[Metric]) -> None:
        self._known: dict[str, frozenset[str]] = {}
        self._wild: dict[str, tuple[str, ...]] = {}  # the known ones with `*`, the longest first
        self._metrics = metrics
        self._series = {metric.name: AllSeries(metric, self._bounded) for metric in metrics}
        self._readings: dict[str, Reading] = {}
        for metric in metrics:
            if not metric.labels:
                self._of(metric, {})
        self.learn(known)

    def learn(self, known: Mapping[str, Collection[str]]) -> None:
        """Let labels take more values; what was known before stays, and so do its series."""
        for label, values in known.items():
            every = self._known.get(label, frozenset()) | frozenset(values)
            self._known[label] = every
            wild = (value for value in every if value.endswith("*"))
            self._wild[label] = tuple(sorted(wild, key=len, reverse=True))
        for metric in self._metrics:
            if metric.announced:
                self._announce(metric)

    def of(self, metric: Metric, *labels: str) -> AllSeries:
        """Return a metric's series, for who counts in every call, by the values of these labels.

        Raises KeyError for a metric that is not in the list, ValueError for other labels than its.
        """
        if labels != tuple(metric.labels):
            raise ValueError(f"{metric.name} has the labels {', '.join(metric.labels)}")
        return self._series[metric.name]

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add to a counter. Raises KeyError for a metric that is not in the list."""
        self._of(metric, labels).number += amount

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Give a gauge its value, in the unit of its name."""
        self._of(metric, labels).number = value

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add a value to a histogram, in the unit of its name."""
        self._of(metric, labels).observe(value)

    def observe_ratio(self, metric: Metric, part: int, whole: int) -> None:
        """Add a share to a histogram: money is a float here alone, where it is none any more."""
        self.observe(metric, part / whole)

    def follow(self, metric: Metric, read: Reading) -> None:
        """Have a gauge read whenever the page is: its owner knows it, and nobody tells us."""
        self._readings[metric.name] = read

    def render(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(_Page(self._families))

    def _of(self, metric: Metric, labels: Mapping[str, str]) -> Series:
        return self._series[metric.name][tuple(map(labels.__getitem__, metric.labels))]

    def _bounded(self, metric: Metric, values: Values) -> Values:
        return tuple([self._word(*pair) for pair in zip(metric.labels, values, strict=True)])

    def _word(self, label: str, value: str) -> str:
        if value in self._known.get(label, ()):
            return value
        for wild in self._wild.get(label, ()):
            if value.startswith(wild[:-1]):
                return wild
        return OTHER

    def _announce(self, metric: Metric) -> None:
        values = (sorted(self._known.get(label, ())) for label in metric.labels)
        for combination in itertools.product(*values):
            self._of(metric, dict(zip(metric.labels, combination, strict=True)))

    def _families(self) -> Iterator[Family]:
        for metric in self._metrics:
            if metric.kind is Kind.HISTOGRAM:
                yield _histogram(metric, self._series[metric.name])
                continue
            kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
            family = kind(metric.name, metric.help, labels=tuple(metric.labels))
            for values, number in self._numbers(metric).items():
                family.add_metric(values, number)
            yield family

    def _numbers(self, metric: Metric) -> Mapping[Values, float]:
        read = self._readings.get(metric.name)
        if read is None:
            return {values: it.number for values, it in self._series[metric.name].items()}
        now: dict[Values, float] = {}
        for given, number in read().items():
            values = self._bounded(metric, given)
            now[values] = now.get(values, 0) + number
        return now


def _histogram(metric: Metric, series: Mapping[Values, Series]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=tuple(metric.labels))
    bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
    for values, it in series.items():
        counts = map(float, itertools.accumulate(it.counts))
        family.add_metric(values, list(zip(bounds, counts, strict=True)), it.number)
    return family


class _Page(Collector):
    """What the client library writes down."""

    def __init__(self, families: Callable[[], Iterator[Family]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        return self._families()
