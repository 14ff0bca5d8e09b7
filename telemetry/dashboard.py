"""Grafana's dashboard, made of the list of metrics: a row for a section, a panel for a metric.

`python -m telemetry.dashboard` writes it; `make dashboard` puts it where a test looks for it.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from telemetry.metric import Kind, Metric
from telemetry.metrics import SECTIONS

Json = dict[str, Any]

_SCHEMA = 39  # of Grafana 10.4 and later
_WIDTH, _HEIGHT = 12, 8  # of a panel; a row of them is 24 wide
_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'job=~"$job",instance=~"$instance"'
_QUANTILES = (0.5, 0.95, 0.99)
_NANO = "1e9"


def dashboard(sections: Mapping[str, Sequence[Metric]] = SECTIONS) -> Json:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": "llmbase",
        "title": "llmbase",
        "description": "Generated from the list of metrics: change that, not this.",
        "tags": ["llmbase"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": list(_panels(sections)),
    }


def text(sections: Mapping[str, Sequence[Metric]] = SECTIONS) -> str:
    """Return the dashboard as its file has it."""
    return json.dumps(dashboard(sections), indent=1, ensure_ascii=False) + "\n"


def _variables() -> list[Json]:
    source: Json = {"name": "datasource", "label": "Prometheus", "type": "datasource"}
    return [source | {"query": "prometheus"}, _variable("job"), _variable("instance")]


def _variable(label: str) -> Json:
    every = '{__name__=~"llmbase_config_generation|llmbase_http_active_streams"'  # of any process
    chosen = every + (',job=~"$job"}' if label != "job" else "}")
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({chosen}, {label})",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
    }


def _panels(sections: Mapping[str, Sequence[Metric]]) -> Iterator[Json]:
    ids = itertools.count(1)
    top = 0
    for title, metrics in sections.items():
        place = {"x": 0, "y": top, "w": 2 * _WIDTH, "h": 1}
        yield {"id": next(ids), "type": "row", "title": title, "gridPos": place, "panels": []}
        top += 1
        for index, metric in enumerate(metrics):
            place = {"x": index % 2 * _WIDTH, "y": top, "w": _WIDTH, "h": _HEIGHT}
            yield _panel(next(ids), metric, place)
            if index % 2 or metric is metrics[-1]:
                top += _HEIGHT


def _panel(number: int, metric: Metric, place: Json) -> Json:
    words = metric.name.removeprefix("llmbase_").removesuffix("_total").split("_")
    return {
        "id": number,
        "type": "timeseries",
        "title": " ".join(words).capitalize() + _per(metric),
        "description": metric.help,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": _unit(metric), "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "right", "calcs": ["max"]}},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": query, "legendFormat": name}
            for i, (query, name) in enumerate(_queries(metric))
        ],
    }


def _queries(metric: Metric) -> Iterator[tuple[str, str]]:
    """Give what is asked for a metric, and what the lines are called."""
    by = ", ".join(metric.labels)
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        yield from _quantiles(metric, by, legend)
    elif metric.kind is Kind.GAUGE:
        over = "max" if metric.shared else "sum"
        of = f"instance, {by}" if by else "instance"
        yield f"{over} by ({of}) ({metric.name}{{{_CHOSEN}}})", f"{{{{instance}}}} {legend}".strip()
    else:
        rate = f"sum{_by(by)} (rate({metric.name}{{{_CHOSEN}}}[$__rate_interval]))"
        scaled = f"{rate} * 3600 / {_NANO}" if _is_money(metric) else rate
        yield scaled, legend or "all"


def _quantiles(metric: Metric, by: str, legend: str) -> Iterator[tuple[str, str]]:
    rate = f"(rate({metric.name}_bucket{{{_CHOSEN}}}[$__rate_interval]))"
    for quantile in _QUANTILES:
        yield f"histogram_quantile({quantile}, sum by (le) {rate})", f"p{quantile * 100:g}"
    if by:
        yield f"histogram_quantile(0.95, sum by (le, {by}) {rate})", f"p95 {legend}"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _is_money(metric: Metric) -> bool:
    return "_nanodollars" in metric.name


def _per(metric: Metric) -> str:
    if _is_money(metric):
        return ", in US dollars an hour"
    return ", a second" if metric.kind is Kind.COUNTER else ""


def _unit(metric: Metric) -> str:
    if _is_money(metric):
        return "currencyUSD"
    if metric.name.endswith("_seconds"):
        return "s"
    return "percentunit" if metric.name.endswith("_ratio") else "short"


if __name__ == "__main__":
    sys.stdout.write(text())
