"""The outcome as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from conformance.running import VARIANTS, Result

_MOST_FAILURES = 20  # lines; all of them are in the JSON
_AS_RECORDED = "as-recorded"
_COLUMNS: dict[str, Callable[[Result], bool]] = {
    "unary": lambda result: result.kind == "unary",
    "stream": lambda result: result.kind == "stream",
    "errors": lambda result: result.kind == "errors",
    "tools": lambda result: result.tools,
}


def text(results: Sequence[Result]) -> str:
    """The whole report; its last line is the verdict."""
    parts = [
        _providers(results),
        _variants(results),
        _reviewed(results),
        _failures(results),
        verdict(results),
    ]
    return "\n\n".join(part for part in parts if part)


def verdict(results: Sequence[Result]) -> str:
    """How many passed, and how many did not."""
    passed = sum(result.passed for result in results)
    return f"{passed} passed, {len(results) - passed} failed"


def as_json(results: Sequence[Result]) -> str:
    """Every single result."""
    rows = [{**asdict(result), "passed": result.passed} for result in results]
    document: dict[str, Any] = {"verdict": verdict(results), "results": rows}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _providers(results: Sequence[Result]) -> str:
    recorded = [result for result in results if result.variant == _AS_RECORDED]
    if not recorded:
        return ""
    names = sorted({result.provider for result in recorded})
    rows = [_row(name, [r for r in recorded if r.provider == name]) for name in names]
    rows.append(_row("all", recorded))
    title = "As recorded: meaning/schema/total. Tools are counted in unary and stream as well."
    return f"{title}\n{_table(['provider', *_COLUMNS], rows)}"


def _row(name: str, results: Sequence[Result]) -> list[str]:
    return [name, *(_score([r for r in results if of(r)]) for of in _COLUMNS.values())]


def _score(results: Sequence[Result]) -> str:
    if not results:
        return "-"
    meaning = sum(not result.meaning for result in results)
    schema = sum(not result.schema for result in results)
    return f"{meaning}/{schema}/{len(results)}"


def _variants(results: Sequence[Result]) -> str:
    rows = []
    for variant in VARIANTS:
        of = [result for result in results if result.variant == variant]
        if of:
            kinds = ("unary", "stream", "errors")
            rows.append([variant, *(_score([r for r in of if r.kind == kind]) for kind in kinds)])
    title = "By variant: meaning/schema/total"
    return f"{title}\n{_table(['variant', 'unary', 'stream', 'errors'], rows)}"


def _reviewed(results: Sequence[Result]) -> str:
    found = {result.case: result.reviewed for result in results if result.reviewed}
    if not found:
        return ""
    times = sum(1 for result in results if result.reviewed)
    reasons: dict[str, list[str]] = {}
    for case, reason in found.items():
        reasons.setdefault(reason, []).append(case)
    title = f"Reviewed differences: {len(found)} recordings, {times} results (they count as passed)"
    lines = [f"  {len(cases)} x {reason}" for reason, cases in reasons.items()]
    return "\n".join([title, *lines])


def _failures(results: Iterable[Result]) -> str:
    failed = [result for result in results if not result.passed]
    if not failed:
        return ""
    lines = [
        f"  {result.case} [{result.variant}]: {(result.meaning + result.schema)[0]}"
        for result in failed[:_MOST_FAILURES]
    ]
    more = len(failed) - len(lines)
    return "\n".join(["Failures:", *lines, *([f"  and {more} more"] if more else [])])


def _table(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    )
