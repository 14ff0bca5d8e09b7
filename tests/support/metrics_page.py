"""What a page of metrics says."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def series(page: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every series by its name and the values of its labels, in the order of the labels' names."""
    return {
        (sample.name, tuple(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def counted(page: bytes, name: str) -> dict[tuple[str, ...], float]:
    """The series of one metric that are not zero, by the values of their labels."""
    return {labels: n for (found, labels), n in series(page).items() if found == name and n}
