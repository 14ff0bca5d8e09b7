"""The alert rules: each fires when it should and not when it nearly should, and is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from telemetry.metric import Kind
from telemetry.metrics import METRICS
from tests.monitoring.alert_cases import CASES, Case
from tests.support.promtool import promtool

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILE = DOCS / "monitoring" / "alerts.yaml"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
_PARTS = ("_bucket", "_count", "_sum")


def test_every_alert_has_a_case() -> None:
    assert [case.alert for case in CASES] == NAMES


def test_the_rules_are_what_prometheus_takes() -> None:
    promtool("check", "rules", str(FILE))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should_and_not_when_it_nearly_should(
    case: Case, tmp_path: Path
) -> None:
    path = tmp_path / "alert.yaml"
    tests = [_test(case, case.fires, fires=True), _test(case, case.quiet, fires=False)]
    path.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "tests": tests}), encoding="utf-8")
    promtool("test", "rules", str(path))


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_asks_for_metrics_and_labels_of_the_list(rule: dict[str, Any]) -> None:
    known = {
        metric.name + part: set(metric.labels)
        for metric in METRICS
        for part in (_PARTS if metric.kind is Kind.HISTOGRAM else ("",))
    }
    asked = re.findall(r"(llmbase_\w+)(?:\{([^}]*)\})?", rule["expr"])
    assert asked
    for name, matchers in asked:
        assert name in known
        for label in re.findall(r"(\w+)(?:=~|!~|!=|=)\"", matchers):
            assert label in known[name], f"{name} has no label {label}"


def test_the_documentation_has_every_alert_with_what_to_do() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`Llmbase\w+` .*) \|$", text, re.MULTILINE)
    assert rows == [
        " | ".join(
            (
                f"`{rule['alert']}`",
                rule["labels"]["severity"],
                rule["annotations"]["summary"],
                rule["annotations"]["action"],
            )
        )
        for rule in RULES
    ]


def _test(case: Case, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    (rule,) = (rule for rule in RULES if rule["alert"] == case.alert)
    expected = {
        "exp_labels": rule["labels"] | case.labels,
        "exp_annotations": rule["annotations"],
    }
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{case.minutes}m",
                "alertname": case.alert,
                "exp_alerts": [expected] if fires else [],
            }
        ],
    }
