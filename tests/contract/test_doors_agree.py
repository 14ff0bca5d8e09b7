"""Every door gives the same answer, and asks the provider the same, for the same request."""

from __future__ import annotations

import pytest

from tests.contract.cases import Case, all_cases
from tests.support.answers import Answer
from tests.support.grpc_door import GrpcDoor
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

CASES = [
    pytest.param(case, streamed, id=f"{case.name}-{'stream' if streamed else 'whole'}")
    for case in all_cases()
    for streamed in case.shapes
]


@pytest.mark.parametrize(("case", "streamed"), CASES)
async def test_grpc_and_rest_in_one_process_and_rest_through_the_sidecar_agree(
    case: Case,
    streamed: bool,
    upstream: ScriptedUpstream,
    grpc_door: GrpcDoor,
    rest_door: RestDoor,
    sidecar_door: RestDoor,
) -> None:
    body = case.body(streamed=streamed)
    answers, asked = [], []
    for door in (grpc_door, rest_door, sidecar_door):
        upstream.reset()
        if case.plan is not None:
            upstream.on("one", case.plan)
        answers.append(await door.ask(body, headers=case.headers))
        asked.append([request.json for request in upstream.requests])

    over_grpc, in_process, through_sidecar = (_comparable(answer) for answer in answers)
    assert in_process == over_grpc
    assert through_sidecar == over_grpc
    assert asked[1] == asked[0]
    assert asked[2] == asked[0]
    # Agreement on the wrong thing would prove nothing.
    failure = over_grpc.failure
    assert (failure.status if failure else 200) == case.status
    assert over_grpc.complete == (case.status == 200)
    assert len(asked[0]) == (case.plan is not None)


def _comparable(answer: Answer) -> Answer:
    """Each door says in its own words what is wrong with a request; where it is, they agree."""
    if answer.failure is not None and answer.failure.code is None:
        answer.failure.message = ""
    return answer
