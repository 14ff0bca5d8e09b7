"""Who may ask: API keys at every door, and that no secret or prompt goes where it must not."""

from __future__ import annotations

import pytest

from tests.conftest import Door, Entrance
from tests.support.asking import hello
from tests.support.config import KEY, NARROW_KEY, PROVIDER_KEY
from tests.support.openai_wire import refuses, says
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

UNKNOWN_KEY = "llmbase_nobody-has-this-key-0123456789abcdef"


async def test_a_request_without_a_key_is_refused(
    entrance: Entrance, streamed: bool, upstream: ScriptedUpstream
) -> None:
    async with entrance.open(None) as door:
        answer = await door.ask(hello(stream=streamed))

    failure = answer.failure
    assert failure is not None
    assert (failure.status, failure.type, failure.code, failure.param) == (
        401,
        "invalid_request_error",
        "missing_api_key",
        None,
    )
    assert not upstream.requests


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {UNKNOWN_KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY.upper()}",
        f"Bearer {KEY} {KEY}",
        f"Basic {KEY}",
        KEY,
        "Bearer",
        "Bearer short",
        "Bearer " + "x" * 5000,
    ],
)
async def test_a_key_that_is_not_one_of_ours_is_refused(
    authorization: str, door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    headers = {"Authorization": authorization}

    answer = await door.ask(hello(stream=streamed), headers=headers)

    failure = answer.failure
    assert failure is not None
    assert (failure.status, failure.type, failure.code, failure.param, failure.message) == (
        401,
        "invalid_request_error",
        "invalid_api_key",
        None,
        "Invalid API key",
    )
    assert not upstream.requests


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_may_be_written_in_any_case(
    scheme: str, door: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))

    answer = await door.ask(hello(), headers={"Authorization": f"{scheme} {KEY}"})

    assert answer.text == "Hello"


async def test_a_key_for_some_models_opens_only_those(
    entrance: Entrance, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("Hello"))
    async with entrance.open(NARROW_KEY) as door:
        allowed = await door.ask(hello("zai-org/glm-5", stream=streamed))
        forbidden = await door.ask(hello("test/one", stream=streamed))

    assert allowed.text == "Hello"
    failure = forbidden.failure
    assert failure is not None
    assert (failure.status, failure.type, failure.code) == (
        403,
        "permission_error",
        "model_not_allowed",
    )
    assert [request.model for request in upstream.requests] == ["glm-5"]


async def test_the_provider_is_shown_its_own_key_and_never_the_callers(
    door: Door, streamed: bool, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))

    await door.ask(hello(stream=streamed))

    headers = upstream.requests[0].headers
    assert headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert not any(KEY in value for value in headers.values())


async def test_keys_prompts_and_answers_are_not_logged(
    entrance: Entrance, streamed: bool, upstream: ScriptedUpstream
) -> None:
    canary, said = "canary-in-a-prompt", "canary-in-an-answer"
    upstream.on("one", says(said))
    upstream.on("first", refuses(500, f"{canary} {PROVIDER_KEY}"))
    upstream.on("second", refuses(400, f"{canary} {PROVIDER_KEY}"))
    messages = [{"role": "user", "content": canary}]
    unknown = {"Authorization": f"Bearer {UNKNOWN_KEY}"}
    async with entrance.open(KEY) as door:
        await door.ask(hello(stream=streamed, messages=messages))
        await door.ask(hello("test/two", stream=streamed, messages=messages))
        await door.ask(hello(stream=streamed, messages=messages), headers=unknown)
        await door.ask(hello(stream=streamed, messages=messages, stop=[canary] * 5))

    log = entrance.deployment.log
    assert "x-request-id" in log or "request_id" in log, "the calls themselves are logged"
    for secret in (canary, said, KEY, UNKNOWN_KEY, PROVIDER_KEY):
        assert secret not in log


async def test_a_header_that_is_not_ascii_is_a_refusal_and_not_a_fault(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    reply = await any_rest_door.send(b"{}", {"Authorization": "Bearer café-café-café-café"})

    assert reply.status in (400, 401)
    assert reply.failure.type == "invalid_request_error"
