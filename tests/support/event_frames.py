"""Frames of AWS event streams, made by hand: what a provider would send."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

STRING = 7


def string(name: str, value: str) -> bytes:
    """A header that is a string."""
    return header(name, STRING, struct.pack(">H", len(value.encode())) + value.encode())


def header(name: str, kind: int, value: bytes) -> bytes:
    """A header of any type; `value` is all that follows the type."""
    return bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value


def frame(headers: bytes, payload: bytes) -> bytes:
    """A whole frame with its checksums."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    covered = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return covered + struct.pack(">I", zlib.crc32(covered))


def event(name: str, payload: Any) -> bytes:
    """A frame of an event with JSON (or bytes, as they are) in it."""
    return _frame("event", ":event-type", name, payload)


def exception(name: str, payload: Any) -> bytes:
    """A frame of an exception with JSON (or bytes, as they are) in it."""
    return _frame("exception", ":exception-type", name, payload)


def error(code: str, message: str) -> bytes:
    """A frame of an error, which says all in headers."""
    headers = string(":message-type", "error") + string(":error-code", code)
    return frame(headers + string(":error-message", message), b"")


def _frame(kind: str, header_name: str, name: str, payload: Any) -> bytes:
    headers = string(header_name, name) + string(":content-type", "application/json")
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return frame(headers + string(":message-type", kind), data)
