"""Whatever we answer is what OpenAI's own description of the API allows."""

from __future__ import annotations

import json

import pytest

from tests.contract.cases import Case, all_cases
from tests.support.openai_schema import check, check_answer
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

CASES = [
    pytest.param(case, streamed, id=f"{case.name}-{'stream' if streamed else 'whole'}")
    for case in all_cases()
    for streamed in case.shapes
]


@pytest.mark.parametrize(("case", "streamed"), CASES)
async def test_an_answer_is_valid(
    case: Case, streamed: bool, rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    if case.plan is not None:
        upstream.on("one", case.plan)

    reply = await rest_door.send(json.dumps(case.body(streamed=streamed)).encode(), case.headers)

    check_answer(reply)


@pytest.mark.parametrize("query", ["", "?metadata=true", "?filter=agents&metadata=true"])
async def test_the_models_are_valid(query: str, any_rest_door: RestDoor) -> None:
    check("models", (await any_rest_door.get(f"/v1/models{query}")).json)
    check("model", (await any_rest_door.get(f"/v1/models/zai-org/glm-5{query}")).json)


@pytest.mark.parametrize("path", ["/v1/models/unknown/model", "/nowhere", "/v1/chat/completions"])
async def test_errors_are_valid(path: str, any_rest_door: RestDoor) -> None:
    reply = await any_rest_door.get(path)

    assert reply.status in (404, 405)
    check("error", reply.json)
