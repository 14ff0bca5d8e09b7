"""The dashboard is the list of metrics, and its file is what the list makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from telemetry.dashboard import dashboard, text
from telemetry.metric import Kind
from telemetry.metrics import METRICS
from tests.support.promtool import promtool

FILE = Path(__file__).resolve().parents[2] / "docs" / "monitoring" / "dashboard.json"
PANELS = [panel for panel in dashboard()["panels"] if panel["type"] == "timeseries"]


def test_the_file_in_docs_is_what_the_list_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run `make dashboard`"
    assert json.loads(text())["panels"]


def test_every_metric_has_one_panel_that_says_what_it_is() -> None:
    assert [panel["description"] for panel in PANELS] == [metric.help for metric in METRICS]
    for metric, panel in zip(METRICS, PANELS, strict=True):
        part = "_bucket" if metric.kind is Kind.HISTOGRAM else ""
        for target in panel["targets"]:
            assert f"{metric.name}{part}{{" in target["expr"]


def test_no_two_panels_have_the_same_id_or_place() -> None:
    everything = dashboard()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_prometheus_understands_every_question(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    rules = [
        {"record": f"asked:{number}", "expr": expr.replace("$__rate_interval", "5m")}
        for number, expr in enumerate(asked)
    ]
    path = tmp_path / "questions.yaml"
    groups = {"groups": [{"name": "dashboard", "rules": rules}]}
    path.write_text(yaml.safe_dump(groups), encoding="utf-8")
    promtool("check", "rules", str(path))
