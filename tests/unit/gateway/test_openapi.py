"""The description of the REST door is made of the tables that serve it, and says what they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import pytest
from hypothesis import given

from gateway.app import Settings, build_app
from gateway.errors import BY_REASON, OF_THE_DOOR
from gateway.openapi.document import document, pretty
from gateway.openapi.limits import LIMITS, REQUIRED
from gateway.openapi.operations import NEVER_OF_A_CHAT
from gateway.transcoding.request import request_from_json
from service.errors import InvalidRequest
from service.rpc import validation
from tests.contract.cases import all_cases
from tests.support.our_schema import check_request
from tests.unit.gateway.request_strategies import requests
from tests.unit.gateway.requests import ask, say
from tests.unit.gateway.scripted_service import Gateway
from tests.unit.gateway.test_request_schema import _rows, _tables

ROOT = Path(__file__).parents[3]
SCHEMAS = document()["components"]["schemas"]


def test_the_file_in_docs_is_what_the_code_generates() -> None:
    assert (ROOT / "docs" / "openapi.json").read_bytes() == pretty(), "run `make openapi`"


async def test_it_is_served_to_everybody(gateway: Gateway) -> None:
    reply = await gateway.request("GET", "/openapi.json")

    assert (reply.status, reply.json) == (200, document())
    assert not gateway.service.calls


async def test_every_path_of_the_door_is_described_and_no_other(
    channel: grpc.aio.Channel,
) -> None:
    served = {(route.method.lower(), route.path) for route in build_app(channel, Settings()).routes}

    described = {(method, path) for path, item in document()["paths"].items() for method in item}
    assert described == served


def test_every_error_that_the_door_knows_is_described() -> None:
    chat = document()["paths"]["/v1/chat/completions"]["post"]["responses"]
    error = SCHEMAS["Error"]["properties"]["error"]["properties"]

    for row in (row for reason, row in BY_REASON.items() if reason not in NEVER_OF_A_CHAT):
        assert (row.code or "no code") in chat[str(row.status)]["description"]
    for row in (*BY_REASON.values(), *OF_THE_DOOR.values()):
        assert row.type in error["type"]["enum"] and row.code in error["code"]["enum"]


def test_every_row_says_what_its_values_look_like() -> None:
    assert not [path for path, row in _rows().items() if row.shape is None]


def test_what_is_required_or_limited_is_in_a_table() -> None:
    places = {table.where for table in _tables()}

    assert not REQUIRED.keys() - places
    assert not LIMITS.keys() - _rows().keys()


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_a_request_that_is_answered_is_one_that_the_description_allows(case: Any) -> None:
    for streamed in case.shapes:
        if case.status == 200:
            check_request(json.loads(json.dumps(case.body(streamed=streamed))))


@given(requests)
def test_a_request_that_the_description_allows_can_be_read(body: dict[str, Any]) -> None:
    try:
        check_request(body)
    except jsonschema.ValidationError:
        return
    request_from_json(json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        {},
        ask(messages=[]),
        ask(messages="Hi"),
        say(role="function"),
        say(content=[]),
        say(content=[{"text": "x"}]),
        say(content=[{"type": "input_audio"}]),
        say(content=[{"type": "image_url", "image_url": "https://x/y"}]),
        say(function_call={"name": "f"}),
        ask(temperature="1"),
        ask(temperature=2.1),
        ask(max_tokens=2**31),
        ask(stop=["a"] * 5),
        ask(seed=2**63),
        ask(modalities=["audio"]),
        ask(functions=[]),
        ask(metadata={"a": 1}),
        ask(tools=[{"type": "function", "function": {"name": "a b"}}]),
        ask(response_format={"type": "xml"}),
        ask(tool_choice="any"),
    ],
)
def test_a_request_that_is_refused_is_none_that_the_description_allows(body: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check_request(body)


@pytest.mark.parametrize("field", sorted(validation._RANGES))
def test_the_ranges_are_those_that_the_service_checks(field: str) -> None:
    least, most = validation._RANGES[field]

    described = SCHEMAS["ChatCompletionRequest"]["properties"][field]

    assert (described["minimum"], described["maximum"]) == (least, most)


def _limited() -> list[tuple[Any, Any]]:
    """Values at a limit, and beyond it."""
    token, label = {"1234567890": 100}, {"k" * 64: "v" * 512}
    tool = [{"type": "function", "function": {"name": "n" * 64}}]
    schema = {"type": "json_schema", "json_schema": {"name": "n" * 64}}
    tools = [{"type": "function", "function": {"name": f"t{i}"}} for i in range(129)]
    return [
        (ask(stop=["s"] * 4), ask(stop=["s"] * 5)),
        (ask(stop="s"), ask(stop="")),
        (ask(logit_bias=token), ask(logit_bias={"12345678901": 1})),
        (ask(logit_bias=token), ask(logit_bias={"1": 101})),
        (ask(metadata=label), ask(metadata={"k" * 65: ""})),
        (ask(metadata=label), ask(metadata={"k": "v" * 513})),
        (ask(metadata=label), ask(metadata={str(i): "" for i in range(17)})),
        (ask(tools=tool), ask(tools=[{"type": "function", "function": {"name": "n" * 65}}])),
        (ask(tools=tools[:128]), ask(tools=tools)),
        (
            ask(response_format=schema),
            ask(response_format={"type": "json_schema", "json_schema": {"name": "n" * 65}}),
        ),
    ]


@pytest.mark.parametrize(("good", "bad"), _limited())
def test_what_the_service_refuses_is_outside_the_limits(good: Any, bad: Any) -> None:
    check_request(good)
    validation.check(request_from_json(json.dumps(good).encode())[0])

    with pytest.raises(jsonschema.ValidationError):
        check_request(bad)
    with pytest.raises(InvalidRequest):
        validation.check(request_from_json(json.dumps(bad).encode())[0])
