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
    """Ask everything, and judge every answer. Lanes are run side by side."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(lane: Lane) -> list[Result]:
        async with room:
            return await _run_lane(lane, variants, stage, caller, schema)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(lane)) for lane in lanes]
    return [result for task in tasks for result in task.result()]


async def _run_lane(
    lane: Lane, variants: Collection[str], stage: Stage, caller: Caller, schema: Schema
) -> list[Result]:
    results = []
    for recording in lane.recordings:
        for variant in variants:
            script = script_of(recording, variant)
            if script is None:
                continue
            stage.put_on(lane, script)
            model = lane.brisk_model if variant in STALLS else lane.model
            reply = await caller.ask(question(recording, model, variant))
            result = _result(recording, variant, read(reply), schema)
            if not stage.was_asked(lane):
                # Without this an answer that a gateway invents could be the one that is wanted.
                result.meaning.insert(0, "the provider was never asked")
            results.append(result)
    return results


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
