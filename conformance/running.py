"""The run: every recording in every variant, one question at a time in each lane."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from conformance.asking import Caller, question
from conformance.faults import BEFORE_CONTENT, FAULTS, STALLS, can_fail
from conformance.forms import FORMS
from conformance.judging import judge, judge_fault, wanted_of
from conformance.lanes import Lane, Stage
from conformance.reading import Answer, read
from conformance.recordings import Recording
from conformance.schema import Schema
from conformance.upstream.scripts import Script

VARIANTS = (*FORMS, *FAULTS)
_AT_ONCE = 12  # lanes
_TRIES = 3  # of a stall


@dataclass(frozen=True)
class Result:
    """How one recording in one variant came out; empty lists are what is hoped for."""

    case: str
    provider: str
    kind: str  # unary, stream, errors
    tools: bool
    variant: str
    meaning: list[str]
    schema: list[str]
    status: int  # HTTP, of the gateway's answer
    reviewed: str | None = None  # why another reading than the noted one was accepted

    @property
    def passed(self) -> bool:
        """Whether both meaning and schema are right."""
        return not self.meaning and not self.schema


async def run(
    lanes: Sequence[Lane],
    variants: Collection[str],
    stage: Stage,
    caller: Caller,
    schema: Schema,
) -> list[Result]:
    """Ask everything, and judge every answer. Lanes are run side by side.

    Stalls come last, when nothing else keeps the machine from meeting the gateway's short limits.
    """
    results: list[Result] = []
    for phase in (
        [variant for variant in variants if variant not in STALLS],
        [variant for variant in variants if variant in STALLS],
    ):
        room = asyncio.Semaphore(_AT_ONCE)
        runs = [_run_lane(lane, phase, stage, caller, schema, room) for lane in lanes]
        for of_lane in await asyncio.gather(*runs):
            results += of_lane
    return results


async def _run_lane(
    lane: Lane,
    variants: Collection[str],
    stage: Stage,
    caller: Caller,
    schema: Schema,
    room: asyncio.Semaphore,
) -> list[Result]:
    results = []
    async with room:
        for recording in lane.recordings:
            for variant in variants:
                script = script_of(recording, variant)
                if script is not None:
                    answer = await _ask(lane, recording, variant, script, stage, caller)
                    result = _result(recording, variant, answer, schema)
                    if not stage.was_asked(lane):
                        # An answer that a gateway invents could be the one that is wanted.
                        result.meaning.insert(0, "the provider was never asked")
                    results.append(result)
    return results


async def _ask(
    lane: Lane, recording: Recording, variant: str, script: Script, stage: Stage, caller: Caller
) -> Answer:
    """Ask; and again, where a short limit may have run out before the provider was reached."""
    stage.put_on(lane, script)
    asked = question(recording, lane.brisk_model if variant in STALLS else lane.model, variant)
    for _ in range(_TRIES if variant in STALLS else 1):
        answer = read(await caller.ask(asked))
        if stage.was_asked(lane):
            break
    return answer


def script_of(recording: Recording, variant: str) -> Script | None:
    """What the provider does; None where the variant does not apply to the recording."""
    if variant in FORMS:
        return FORMS[variant](recording)
    return FAULTS[variant](recording) if can_fail(recording) else None


def _result(recording: Recording, variant: str, answer: Answer, schema: Schema) -> Result:
    reviewed = None
    if variant in FORMS:
        meaning, reviewed = judge(recording, answer)
    else:
        meaning = judge_fault(recording, answer, before_content=variant in BEFORE_CONTENT)
    found = [schema.problem(root, document) for root, document in answer.documents]
    problems = list(dict.fromkeys(problem for problem in found if problem))
    if not answer.documents:
        problems.append("nothing in the API's form at all")
    wanted = wanted_of(recording)
    kind = "errors" if wanted.error else "stream" if recording.streamed else "unary"
    return Result(
        recording.name,
        recording.provider,
        kind,
        bool(wanted.calls),
        variant,
        meaning,
        problems,
        answer.status,
        reviewed,
    )
