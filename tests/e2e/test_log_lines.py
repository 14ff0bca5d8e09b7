"""One line of the log for each call in each process, with the same request id and no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.asking import hello
from tests.support.call_log import until
from tests.support.config import KEY, PROVIDER_KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import says
from tests.support.openai_wire import stream as sent
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import cut

PROMPT = "canary-prompt-0123456789"
ANSWER = "canary-answer-0123456789"
ROLE, TEXT, *_ = says(ANSWER).events()


@pytest.mark.parametrize(
    ("model", "streamed", "of_the_gateway", "of_the_service"),
    [
        ("test/one", False, (200, "OK"), "OK"),
        ("test/one", True, (200, "OK"), "OK"),
        ("test/cut", True, (200, "upstream_truncated"), "UPSTREAM_TRUNCATED"),
        ("no/such", True, (404, "model_not_found"), "MODEL_NOT_FOUND"),
    ],
)
async def test_each_process_says_once_how_a_call_ended(
    sidecar: Deployment,
    upstream: ScriptedUpstream,
    model: str,
    streamed: bool,
    of_the_gateway: tuple[int, str],
    of_the_service: str,
) -> None:
    upstream.on("one", says(ANSWER) if model == "test/one" else sent(ROLE, TEXT, cut))
    asked = hello(model.replace("cut", "one"), stream=streamed)
    asked["messages"] = [{"role": "user", "content": PROMPT}]
    request_id = f"log-{model.replace('/', '-')}-{streamed}"
    async with RestDoor(sidecar.http, KEY) as door:
        await door.ask(asked, headers={"X-Request-Id": request_id})
    await until(lambda: len(_calls(sidecar, request_id)) == 2)

    gateway, service = (_lines(process.log, request_id) for process in sidecar.processes)
    (request,) = [line for line in gateway if line["message"] == "request"]
    (call,) = [line for line in service if line["message"] == "call"]
    assert (request["status"], request["outcome"]) == of_the_gateway
    assert (request["method"], request["route"]) == ("POST", "/v1/chat/completions")
    assert request["ms"] >= 0
    assert call["outcome"] == of_the_service
    for secret in (PROMPT, ANSWER, KEY, PROVIDER_KEY):
        assert secret not in sidecar.log


def _calls(deployment: Deployment, request_id: str) -> list[dict[str, Any]]:
    lines = _lines(deployment.log, request_id)
    return [line for line in lines if line["message"] in ("request", "call")]


def _lines(log: str, request_id: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if f'"{request_id}"' in line]
