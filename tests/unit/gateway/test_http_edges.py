"""Paths, methods and bytes that are no chat: always an answer, never a 5xx, never a hang."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.support.shared import shared_json
from tests.unit.gateway.scripted_service import CHAT, PATIENCE, Gateway, hello

BODY = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/chat/completions"),
        ("GET", "/v1/models/"),
        ("DELETE", "/favicon.ico"),
        ("GET", "/v1/" + "x" * 5000),
        ("GET", "/%ff%00"),
    ],
)
async def test_an_unknown_path_is_a_404_in_the_envelope(
    method: str, path: str, gateway: Gateway
) -> None:
    reply = await gateway.request(method, path)

    assert reply.status == 404
    assert (reply.error["type"], reply.error["code"]) == ("invalid_request_error", "unknown_url")
    assert method in reply.error["message"]
    assert len(reply.error["message"]) < 300
    assert "x-request-id" in reply.headers


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses",
        "/v1/responses/resp_1/cancel",
        "/v1/embeddings",
        "/v1/completions",
        "/v1/audio/speech",
        "/v1/images/generations",
        "/v1/files",
        "/v1/batches/b1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_endpoint_of_openais_that_is_not_here_is_named(
    method: str, path: str, gateway: Gateway
) -> None:
    reply = await gateway.request(method, path)

    assert reply.status == 404
    assert reply.error["code"] == "unknown_url"
    assert "/".join(path.split("/")[:3]) in reply.error["message"]
    assert "does not support" in reply.error["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("PUT", CHAT, "POST"),
        ("DELETE", CHAT, "POST"),
        ("OPTIONS", CHAT, "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/a/b", "GET, HEAD"),
        ("POST", "/livez", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_a_405_that_names_the_right_one(
    method: str, path: str, allowed: str, gateway: Gateway
) -> None:
    reply = await gateway.request(method, path)

    assert reply.status == 405
    assert reply.headers["Allow"] == allowed
    assert reply.error["code"] == "method_not_allowed"
    assert allowed in reply.error["message"]


async def test_head_is_answered_without_a_body(gateway: Gateway) -> None:
    chat = await gateway.request("HEAD", CHAT)
    live = await gateway.request("HEAD", "/livez")

    assert (chat.status, chat.headers["Allow"], chat.body) == (405, "POST", b"")
    assert (live.status, live.body) == (200, b"")


async def test_the_server_does_not_tell_its_versions(gateway: Gateway) -> None:
    for reply in (await gateway.ask(), await gateway.ask(hello(stream=True))):
        assert reply.headers["Server"] == "llmbase"


def _filled(latin1: str) -> bytes:
    one_by_one = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    data = latin1.encode("latin-1").replace(b"{ONE}", one_by_one).replace(b"{B}", BODY)
    return data.replace(b"{N}", b"%d" % len(BODY)).replace(b"{X}", b"%x" % len(BODY))


async def _exchange(gateway: Gateway, data: bytes) -> list[int]:
    """Send raw bytes; return the status of every answer. There must be one, or an end."""
    reader, writer = await asyncio.open_connection(*gateway.door.address)
    writer.write(data)
    received = b""
    try:
        while True:
            # After the first answer a second one, to what was smuggled, would follow at once.
            async with asyncio.timeout(0.05 if _statuses(received) else PATIENCE):
                piece = await reader.read(65536)
            if not piece:
                break
            received += piece
    except TimeoutError:
        assert received, "neither an answer nor an end"
    except ConnectionResetError:
        pass
    writer.transport.abort()
    return _statuses(received)


def _statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/[0-9.]+ ([0-9]{3}) ", received)]


def _cases(name: str) -> list[Any]:
    return list(shared_json("nasty", f"{name}.json"))


async def test_odd_framing_is_served_or_refused_and_nothing_is_smuggled(gateway: Gateway) -> None:
    told: dict[str, list[int]] = {}
    for case in _cases("http1_framing"):
        told[case["name"]] = await _exchange(gateway, _filled(case["latin1"]))

    expected = {case["name"]: case["expect"] for case in _cases("http1_framing")}
    for name, statuses in told.items():
        assert all(200 <= status < 500 for status in statuses), (name, statuses)
        match expected[name].split()[0].rstrip(","):
            case "served" if "refused" not in expected[name]:
                assert statuses == [200], name
            case "refused":
                assert len(statuses) <= 1, name
                assert "or" in expected[name] or 200 not in statuses, name
            case "400":
                assert statuses[0] == 400, name
    assert told["pipelined, first one bad JSON"] == [400, 200]
    assert told["TE and CL"] in ([400], [200])  # never a second answer, to the smuggled request


async def test_no_bytes_make_the_server_fail(gateway: Gateway) -> None:
    for case in _cases("http1_llhttp"):
        statuses = await _exchange(gateway, _filled(case["latin1"]))

        assert all(200 <= status < 500 for status in statuses), (case["name"], statuses)
        if case["llhttp"] == "error":
            assert len(statuses) <= case["messages"] + 1, case["name"]
    assert (await gateway.ask()).status == 200


async def test_bytes_that_are_no_http_are_not_logged(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    statuses = await _exchange(
        gateway, b"GET / HTTP/1.1\r\nAuthorization: Bearer secret\x00\r\n\r\n"
    )

    assert statuses == [400]
    assert "secret" not in caplog.text
    assert "Traceback" not in caplog.text
