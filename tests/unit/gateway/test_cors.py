"""What browsers are told, when they are to be told anything."""

from __future__ import annotations

import pytest

from tests.unit.gateway.conftest import Open
from tests.unit.gateway.scripted_service import CHAT, Gateway, hello

HERE = "https://app.example"
PREFLIGHT = {
    "Origin": HERE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


async def test_it_is_off_unless_origins_are_named(gateway: Gateway) -> None:
    preflight = await gateway.request("OPTIONS", CHAT, headers=PREFLIGHT)
    answer = await gateway.ask(headers={"Origin": HERE})

    assert preflight.status == 405
    assert answer.status == 200
    for reply in (preflight, answer):
        assert not [name for name in reply.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("origins", [("*",), ("https://other.example", HERE)])
async def test_a_preflight_is_answered(origins: tuple[str, ...], open_gateway: Open) -> None:
    gateway = await open_gateway(cors=origins)

    reply = await gateway.request("OPTIONS", CHAT, headers=PREFLIGHT)

    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == ("*" if "*" in origins else HERE)
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    asked = PREFLIGHT["Access-Control-Request-Headers"]
    assert reply.headers["Access-Control-Allow-Headers"] == asked
    assert "Access-Control-Allow-Credentials" not in reply.headers


async def test_whole_answers_streams_and_errors_may_be_read(open_gateway: Open) -> None:
    gateway = await open_gateway(cors=(HERE,))
    headers = {"Origin": HERE}

    replies = [
        await gateway.ask(hello(), headers=headers),
        await gateway.ask(hello(stream=True), headers=headers),
        await gateway.ask(b"{", headers=headers),
        await gateway.request("GET", "/nowhere", headers=headers),
    ]

    assert [reply.status for reply in replies] == [200, 200, 400, 404]
    for reply in replies:
        assert reply.headers["Access-Control-Allow-Origin"] == HERE
        assert reply.headers["Vary"] == "Origin"
        exposed = reply.headers["Access-Control-Expose-Headers"].split(", ")
        ours = [name.lower() for name in reply.headers if name.lower().startswith("x-llmbase")]
        assert {"x-request-id", "retry-after", *ours} <= set(exposed)


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil", "null"])
async def test_another_origin_gets_nothing(origin: str, open_gateway: Open) -> None:
    gateway = await open_gateway(cors=(HERE,))

    preflight = await gateway.request("OPTIONS", CHAT, headers=PREFLIGHT | {"Origin": origin})
    answer = await gateway.ask(headers={"Origin": origin})

    for reply in (preflight, answer):
        assert not [name for name in reply.headers if name.startswith("Access-Control")]
        assert reply.headers["Vary"] == "Origin"


async def test_an_options_request_that_is_no_preflight_is_a_405(open_gateway: Open) -> None:
    gateway = await open_gateway(cors=("*",))

    assert (await gateway.request("OPTIONS", CHAT, headers={"Origin": HERE})).status == 405


@pytest.mark.parametrize("asked", ["x-a,\tx-b", "x-ü"])
async def test_what_a_preflight_asks_for_is_repeated(asked: str, open_gateway: Open) -> None:
    gateway = await open_gateway(cors=("*",))

    headers = PREFLIGHT | {"Access-Control-Request-Headers": asked}
    reply = await gateway.request("OPTIONS", CHAT, headers=headers)

    assert reply.headers["Access-Control-Allow-Headers"] == asked
