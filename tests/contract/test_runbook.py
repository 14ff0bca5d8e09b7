"""The runbook knows every reason that an error can have, and names nothing that is not there."""

from __future__ import annotations

import re

import pytest
import yaml
from llmbase.v1.error_reason_pb2 import ErrorReason

from telemetry.metrics import METRICS
from tests.support.failures import REASONS
from tests.support.shared import PROJECT

DOCS = PROJECT / "docs"
_ROW = re.compile(r"^\| `([A-Z_]+)` \| ([COP, ]+) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def _rows() -> list[tuple[str, ...]]:
    text = (DOCS / "runbook.md").read_text(encoding="utf-8")
    return _ROW.findall(text.partition("## Every reason")[2])


def test_every_reason_has_one_row_with_its_cause_and_cure() -> None:
    named = [reason for reason, *_ in _rows()]

    known = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()]  # noqa: SIM118
    assert sorted(named) == sorted(set(known) - {"UNSPECIFIED"})
    assert set(named) == set(REASONS)


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[0])
def test_a_cause_is_a_sentence_and_so_is_a_cure(row: tuple[str, ...]) -> None:
    _, whose, *sentences = row

    assert set(whose.replace(" ", "").split(",")) <= {"C", "O", "P"}
    assert all(len(text) > 15 and text[-1] in ".)" for text in sentences)


def test_alerts_and_metrics_that_are_named_are_there() -> None:
    text = (DOCS / "runbook.md").read_text(encoding="utf-8")
    rules = yaml.safe_load((DOCS / "monitoring" / "alerts.yaml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}

    assert set(re.findall(r"Llmbase[A-Z]\w+", text)) <= alerts
    assert set(re.findall(r"llmbase_[a-z_]+", text)) <= {metric.name for metric in METRICS}


def test_links_lead_somewhere() -> None:
    text = (DOCS / "runbook.md").read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([a-z.]+)(?:#([a-z-]+))?\)", text):
        linked = (DOCS / target).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", linked, re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 -]", "", it.lower()).replace(" ", "-") for it in headings}
        assert not anchor or anchor in anchors, (target, anchor)
