"""What a metric is: its name, what can be done with it, and what its labels may be."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.Enum):
    """What can be done with a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `labels` says of each label what its values are.

    `buckets` are a histogram's upper bounds, in the unit that the name ends in. The series of a
    metric that is `announced` are there from the start, at zero: an increase that makes a series
    is none to who reads it. A gauge that is `shared` is the same fact in every process of a
    machine: where their pages are made one, it is not added up.
    """

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    announced: bool = False
    shared: bool = False
