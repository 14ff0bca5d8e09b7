"""What was freed between things that are in use goes back, for large requests and in moderation."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from wire.leftovers import LARGE, Leftovers


class _Heap:
    """A clock, and a heap that takes `seconds` of work to look through."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.trimmed = 0
        self._seconds = seconds

    def trim(self) -> None:
        self.trimmed += 1
        self.now += self._seconds

    def clock(self) -> float:
        return self.now


def test_only_large_requests_are_worth_it() -> None:
    heap = _Heap(0)
    leftovers = Leftovers(heap.trim, heap.clock, heap.clock)
    leftovers.give_back(LARGE - 1)
    assert heap.trimmed == 0
    leftovers.give_back(LARGE)
    leftovers.give_back(LARGE)
    assert heap.trimmed == 2


def test_no_more_than_a_tenth_of_the_time_goes_to_it() -> None:
    heap = _Heap(0.009)
    leftovers = Leftovers(heap.trim, heap.clock, heap.clock)
    while heap.now < 9:
        leftovers.give_back(LARGE)
        heap.now += 0.001
    assert 90 <= heap.trimmed <= 100


def test_a_heap_that_takes_long_is_looked_through_once_a_minute() -> None:
    heap = _Heap(0.02)
    leftovers = Leftovers(heap.trim, heap.clock, heap.clock)
    while heap.now < 300:
        leftovers.give_back(LARGE)
        heap.now += 0.5
    assert heap.trimmed == 5


def test_work_that_others_hold_up_is_not_taken_for_more() -> None:
    heap = _Heap(0.01)
    leftovers = Leftovers(heap.trim, heap.clock, lambda: heap.trimmed * 0.0001)
    for _ in range(10):
        leftovers.give_back(LARGE)
        heap.now += 0.002
    assert heap.trimmed == 10


_HOLED = """
import os
from wire.leftovers import LEFTOVERS

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

bytes(20 * 2**20)  # once freed, malloc keeps what is as large
below, above = b"x" * (8 * 2**20), b"x" * (8 * 2**20)
del below
holed = resident()
LEFTOVERS.give_back(8 * 2**20)
print(holed - resident(), len(above))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is like that")
def test_a_hole_in_the_heap_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", _HOLED], check=True, capture_output=True)
    assert float(done.stdout.split()[0]) > 7
