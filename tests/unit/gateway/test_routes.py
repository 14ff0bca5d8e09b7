"""A path leads to the same place however it is written, and an `Expect` is met anywhere."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from tests.unit.gateway.scripted_service import Gateway


async def asked(gateway: Gateway, line: str, headers: str = "") -> bytes:
    """Send a request of this first line; return all that comes until the end."""
    reader, writer = await asyncio.open_connection(*gateway.door.address)
    writer.write(f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "path",
    ["/livez", "/livez?", "/livez?x=1", "/l%69vez", "http://x/livez", "https://y:1/livez?x=1"],
)
async def test_a_path_may_have_a_query_escapes_and_a_host(path: str, gateway: Gateway) -> None:
    assert (await asked(gateway, f"GET {path}")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["{id}", "%7Bid%7D", "{id}?metadata=true"])
async def test_a_model_may_be_called_what_the_log_calls_the_path(
    path: str, gateway: Gateway
) -> None:
    await asked(gateway, f"GET /v1/models/{path}")

    assert gateway.service.calls[-1].request.id == "{id}"


@pytest.mark.parametrize("path", ["/v1%2Fmodels", "/v1%2Fmodels/a", "/v1/models/a%0Ab", "*"])
async def test_an_escaped_slash_or_the_end_of_a_line_divides_no_path(
    path: str, gateway: Gateway
) -> None:
    answer = await asked(gateway, f"{'OPTIONS' if path == '*' else 'GET'} {path}")

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert not gateway.service.calls


@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/nowhere", 404)])
async def test_who_waits_to_be_told_to_go_on_is_told(
    path: str, status: int, gateway: Gateway
) -> None:
    answer = await asked(gateway, f"GET {path}", "Expect: 100-Continue\r\n")

    assert answer.startswith(f"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 {status} ".encode())


async def test_another_expectation_is_a_417_in_the_envelope(gateway: Gateway) -> None:
    head, _, body = (await asked(gateway, "GET /livez", "Expect: tea\r\n")).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 417 ") and b"\r\nServer: llmbase" in head
    assert orjson.loads(body)["error"]["type"] == "invalid_request_error"
