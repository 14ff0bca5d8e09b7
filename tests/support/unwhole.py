"""Requests that end before they are whole, over plain sockets: no client library sends them."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.config import KEY
from tests.support.proto_request import proto_request
from tests.support.rest_door import PATH

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4  # types of HTTP/2 frames
_END_HEADERS = 4


@contextlib.contextmanager
def begun_requests(
    kind: str, address: str, body: Mapping[str, Any], headers: Mapping[str, str], part: str
) -> Iterator[socket.socket]:
    """A connection on which half the request's `part` ("head", "body") was sent, until we leave."""
    host, port = address.removeprefix("http://").rsplit(":", 1)
    named = {"authorization": f"Bearer {KEY}", **headers}
    head, rest = _over_grpc(body, named) if kind == "grpc" else _over_rest(body, named)
    sent = head[: len(head) // 2] if part == "head" else head + rest[: len(rest) // 2]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(sent)
        yield connection


def _over_rest(body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[bytes, bytes]:
    content = json.dumps(body).encode()
    named = {"host": "localhost", "content-type": "application/json", **headers}
    lines = [f"{name}: {value}" for name, value in named.items()]
    lines.append(f"content-length: {len(content)}")
    return "\r\n".join([f"POST {PATH} HTTP/1.1", *lines, "", ""]).encode(), content


def _over_grpc(body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[bytes, bytes]:
    method = "StreamChatCompletion" if body["stream"] else "CreateChatCompletion"
    named = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/llmbase.v1.ChatCompletionService/{method}",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        **headers,
    }
    block = b"".join(b"\0" + _string(name) + _string(value) for name, value in named.items())
    head = _PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS, 1, block)
    message = proto_request(body).SerializeToString()
    return head, _frame(_DATA, 0, 1, struct.pack(">BI", 0, len(message)) + message)


def _string(text: str) -> bytes:
    """A string of HPACK as it is; its length has to fit into seven bits."""
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
