"""Whatever waits by the clock is in `timers.txt`, with the test that knows for how long.

A file there has the file of its tests beside it; below it are the functions with a timer, each
with the name of its test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOMS = ("channel", "cli", "gateway", "relay", "service", "telemetry")
HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WAITS = {"call_at", "call_later", "settimeout", "sleep", "timeout", "timeout_at", "wait_for"}
WAITS |= {"ClientTimeout"}
NO_TIME = {"None", "math.inf"}

# What libraries wait by themselves, told for how long, and commands that block without a loop:
# no clock of a test's moves theirs.
FOREIGN = {
    "cli/health.py _connect",
    "cli/health.py _grpc_ready",
    "cli/health.py _http_ready",
    "service/providers/credentials/aws.py _session",
    "service/store/database.py _direct.connect",
    "service/store/direct_postgres.py PostgresDirect.close",
    "telemetry/otel.py OtelTracer.__init__",
}


def is_timer(call: ast.Call) -> bool:
    """Whether a call waits for a time, or tells somebody for how long to."""
    waits = isinstance(call.func, ast.Attribute) and call.func.attr in WAITS
    yields = [ast.unparse(it) for it in call.args] == ["0"]  # to whatever else is ready
    told = {it.arg or "": ast.unparse(it.value) for it in call.keywords}
    # Who passes on under the same name what it was given is no timer: whoever gave it is.
    says = any(arg.endswith("timeout") and it not in {arg, *NO_TIME} for arg, it in told.items())
    return (waits and not yields) or says


def timers_in(node: ast.AST, name: str = "") -> Iterator[str]:
    """Yield the qualified names of the functions below a node that have a timer."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and is_timer(child):
            yield name
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from timers_in(child, f"{name}.{child.name}".lstrip("."))
        else:
            yield from timers_in(child, name)


def found() -> set[str]:
    """Return every timer of ours, as FILE FUNCTION."""
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    return {
        f"{file.relative_to(ROOT)} {name}"
        for file in files
        for name in timers_in(ast.parse(file.read_text()))
    }


def listed() -> dict[str, tuple[Path, str]]:
    """Return each timer of the table, and the file and the name of its test."""
    table: dict[str, tuple[Path, str]] = {}
    file = tests = ""
    for line in (HERE / "timers.txt").read_text().splitlines():
        if line.startswith(" "):
            function, test = line.split()
            table[f"{file} {function}"] = (HERE / tests, f"test_{test}")
        elif line:
            file, tests = line.split()
    return table


@cache
def named_in(file: Path) -> set[str]:
    """Return the functions of a file of tests: none, where it does not use the virtual clock."""
    text = file.read_text()
    if "virtual_time" not in text:
        return set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {it.name for it in ast.walk(ast.parse(text)) if isinstance(it, functions)}


def test_every_timer_is_listed_with_its_test() -> None:
    assert found() - FOREIGN == set(listed())
    assert found() >= FOREIGN


def test_the_tests_that_are_listed_exist_and_run_in_virtual_time() -> None:
    missing = {
        timer: test for timer, (file, test) in listed().items() if test not in named_in(file)
    }
    assert not missing
