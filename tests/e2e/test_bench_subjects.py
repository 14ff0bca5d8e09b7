"""The bench's own promise: a figure that seems worse is asked of other processes."""

from __future__ import annotations

from pathlib import Path

from tests.bench.running import Bench
from tests.bench.scenarios import SCENARIOS
from tests.bench.subjects import direct, skeleton


def test_a_subject_that_is_started_anew_is_another_process(tmp_path: Path) -> None:
    starts = {"direct": direct, "skeleton": skeleton}
    with Bench(starts, tmp_path, quick=True) as bench:
        before = _processes(bench)
        bench.start_anew("skeleton")
        after = _processes(bench)
        assert before and after and not set(before) & set(after)
        assert not any(Path(f"/proc/{pid}").exists() for pid in before)
        bench.run("unary alone", SCENARIOS["unary alone"], 1, ("skeleton",))
    assert bench.failures == []
    assert bench.results["unary alone"]["skeleton"]


def _processes(bench: Bench) -> list[int]:
    meter = bench.subjects["skeleton"].meter
    assert meter is not None
    return [process.pid for process in meter.processes()]
