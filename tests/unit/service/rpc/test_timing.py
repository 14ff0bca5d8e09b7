"""What a call took is observed once, from few times, and only where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.rpc.timing import Times
from telemetry.metrics import Metrics
from tests.support.metrics_page import series

STREAM, WHOLE = "StreamChatCompletion", "CreateChatCompletion"


@dataclass
class _Call:
    """From 10 by the clock; what is not said is as of a call that has just begun."""

    method: str
    outcome: str
    model: str = "m"
    started: float = 10.0
    first: float | None = None
    chunks: int = 0
    own: bool = True
    replayed: bool = False


def _told(method: str, *, waited: float = 0.0, whole: bool = True, **facts: Any) -> dict:
    """The sums, and how many, of each histogram for a call from 10 to 20 by the clock."""
    metrics = Metrics({"method": [STREAM, WHOLE], "model": ["m"]})
    call = _Call(method, "OK" if whole else "UPSTREAM_TRUNCATED", **facts)
    Times(metrics).observe(call, waited, 20.0)
    found = series(metrics.render())
    names = {key[0].removesuffix("_count") for key in found if key[0].endswith("_count")}
    sums = {key[0].removesuffix("_sum"): n for key, n in found.items() if key[0].endswith("_sum")}
    counts = {key[0].removesuffix("_count"): n for key, n in found.items()}
    ours = ("call", "first_content", "chunk_gap", "overhead")
    return {
        name: round(sums[f"llmbase_{name}_seconds"], 6)
        for name in ours
        if f"llmbase_{name}_seconds" in names and counts[f"llmbase_{name}_seconds"]
    }


def test_a_stream_is_its_first_content_its_usual_gap_and_what_was_ours() -> None:
    assert _told(STREAM, first=14.0, chunks=7, waited=3.75) == {
        "call": 10.0,
        "first_content": 4.0,
        "chunk_gap": 1.0,
        "overhead": 0.25,
    }


def test_a_whole_answer_has_no_first_content_and_no_gaps() -> None:
    assert _told(WHOLE, first=19.0, waited=8.5) == {"call": 10.0, "overhead": 0.5}


def test_one_chunk_has_no_gap() -> None:
    assert "chunk_gap" not in _told(STREAM, first=14.0, chunks=1)


def test_of_a_stream_that_broke_its_beginning_is_known() -> None:
    assert _told(STREAM, first=14.0, chunks=7, waited=4.0, whole=False) == {
        "first_content": 4.0,
        "overhead": 0.0,
    }


def test_of_a_call_that_was_never_answered_nothing_is_known() -> None:
    assert _told(STREAM, whole=False) == {}


def test_whose_work_is_shared_does_not_know_how_long_providers_took() -> None:
    told = _told(STREAM, first=14.0, chunks=7, own=False)
    assert told == {"call": 10.0, "first_content": 4.0, "chunk_gap": 1.0}


def test_an_answer_that_was_there_before_says_nothing_of_providers() -> None:
    assert _told(STREAM, first=10.001, chunks=7, own=False, replayed=True) == {"call": 10.0}


def test_waiting_that_overlaps_is_not_less_than_nothing() -> None:
    assert _told(WHOLE, first=11.0, waited=1.5)["overhead"] == 0
