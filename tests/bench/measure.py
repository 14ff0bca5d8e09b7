"""What processes have cost: CPU of all of them, and memory."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil


class Meter:
    """Measures a subject: its processes and their children."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]

    def cpu(self) -> float:
        """Milliseconds of CPU so far, user and system, of all processes."""
        return sum(_cpu(process) for process in self.processes())

    def memory(self) -> float:
        """Kilobytes that are resident now."""
        return sum(process.memory_info().rss for process in self.processes()) / 1024

    def forget_peak(self) -> None:
        """Begin a new peak. (Where the kernel cannot, the peak is the process's own.)"""
        for process in self.processes():
            with contextlib.suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> float:
        """Kilobytes that were resident at most since then."""
        return sum(_peak(process.pid) for process in self.processes())

    def pin(self, cores: list[int]) -> None:
        """Let the processes run on these cores only."""
        for process in self.processes():
            process.cpu_affinity(cores)

    def processes(self) -> list[psutil.Process]:
        """All of them, as they are now."""
        return [found for root in self._roots for found in (root, *root.children(recursive=True))]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return 1000 * (times.user + times.system)


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1])
    return 0.0
