"""Whatever the REST door answers is what its own description says, and has no key besides."""

from __future__ import annotations

import json

import pytest

from gateway.openapi.document import document
from tests.contract.cases import Case, all_cases
from tests.support.our_schema import check, check_answer
from tests.support.rest_door import PATH, RestDoor
from tests.support.rest_form import Reply
from tests.support.scripted_upstream import ScriptedUpstream

CASES = [
    pytest.param(case, streamed, id=f"{case.name}-{'stream' if streamed else 'whole'}")
    for case in all_cases()
    for streamed in case.shapes
]


@pytest.mark.parametrize(("case", "streamed"), CASES)
async def test_an_answer_is_as_it_is_described(
    case: Case, streamed: bool, rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    if case.plan is not None:
        upstream.on("one", case.plan)

    reply = await rest_door.send(json.dumps(case.body(streamed=streamed)).encode(), case.headers)

    check_answer(reply, "ChatCompletion")
    _check_status_and_headers(reply, PATH, "post")


@pytest.mark.parametrize("query", ["", "?metadata=true", "?filter=agents&metadata=true", "?filter"])
async def test_the_models_are_as_they_are_described(query: str, rest_door: RestDoor) -> None:
    models = await rest_door.get(f"/v1/models{query}")
    model = await rest_door.get("/v1/models/zai-org/glm-5?metadata=true")

    check_answer(models, "ModelList")
    check_answer(model, "Model")
    _check_status_and_headers(models, "/v1/models", "get")
    _check_status_and_headers(model, "/v1/models/{id}", "get")


@pytest.mark.parametrize("path", ["/v1/models/unknown/model", "/nowhere", PATH])
async def test_errors_are_as_they_are_described(path: str, rest_door: RestDoor) -> None:
    check("Error", (await rest_door.get(path)).json)


async def test_the_balance_is_as_it_is_described(rest_door: RestDoor) -> None:
    reply = await rest_door.get("/v1/balance")

    check_answer(reply, "Balance")
    _check_status_and_headers(reply, "/v1/balance", "get")


def test_a_balance_is_an_amount_in_decimals_and_what_of_it_is_reserved() -> None:
    amounts = {"balance": "12.345678900", "reserved": "0.000000000"}

    check("Balance", {"object": "balance", "currency": "USD", **amounts})


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_the_probes_are_as_they_are_described(path: str, rest_door: RestDoor) -> None:
    check("Health", (await rest_door.get(path)).json)


def _check_status_and_headers(reply: Reply, path: str, method: str) -> None:
    """The status must be described; so must every header of ours."""
    described = document()["paths"][path][method]["responses"]
    headers = described[str(reply.status)]["headers"]
    ours = {name.lower() for name in reply.headers}
    ours = {name for name in ours if name.startswith(("x-llmbase", "x-ratelimit"))}
    assert ours <= headers.keys()
    assert "x-request-id" in headers and reply.headers["x-request-id"]
