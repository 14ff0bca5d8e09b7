"""Other forms of the same answer: what a client of the provider may meet, and must read alike."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from conformance.recordings import Recording
from conformance.upstream.scripts import Framing, Piece, Script, drip, pause

_TURN = 64  # bytes
Form = Callable[[Recording], Script | None]  # None: the wire format has no such form


def as_recorded(recording: Recording) -> Script:
    """The bytes as they are."""
    return recording.script()


def one_byte_at_a_time(recording: Recording) -> Script:
    """Each byte in an HTTP chunk of its own, and now and then a turn for the others."""
    pieces: list[Piece] = []
    for at in range(0, len(recording.body), _TURN):
        pieces += [*drip(recording.body[at : at + _TURN]), pause(0)]
    return recording.script(*pieces)


def crlf(recording: Recording) -> Script | None:
    """Lines that end in CR LF."""
    if not (is_sse(recording) or is_lines(recording)):
        return None
    return recording.script(_lines(recording.body).replace(b"\n", b"\r\n"))


def cr(recording: Recording) -> Script | None:
    """Lines that end in CR alone."""
    return (
        recording.script(_lines(recording.body).replace(b"\n", b"\r"))
        if is_sse(recording)
        else None
    )


def comments(recording: Recording) -> Script | None:
    """Comments between and inside events, with the fields `retry` and `id`, and unknown ones."""
    if not is_sse(recording):
        return None
    chatty = re.sub(
        rb"^data:",
        b": data: [DONE]\nretry: 5\nid: 7\nunknown\ndata:",
        _lines(recording.body),
        flags=re.MULTILINE,
    )
    return recording.script(b": welcome\n\n:\n\n" + chatty)


def byte_order_mark(recording: Recording) -> Script | None:
    """A byte order mark before the first event."""
    return recording.script(b"\xef\xbb\xbf" + recording.body) if is_sse(recording) else None


def gzipped(recording: Recording) -> Script:
    """Compressed, though nobody asked for it; streams are flushed after each line."""
    packer = zlib.compressobj(wbits=31)
    pieces = []
    for piece in (
        recording.body.splitlines(keepends=True) if recording.streamed else [recording.body]
    ):
        pieces.append(packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH))
    pieces.append(packer.flush())
    framing = Framing.CHUNKED if recording.streamed else Framing.LENGTH
    headers = recording.headers | {"Content-Encoding": "gzip"}
    return Script(pieces, recording.status, headers, framing)


FORMS: dict[str, Form] = {
    "as-recorded": as_recorded,
    "one-byte": one_byte_at_a_time,
    "crlf": crlf,
    "cr": cr,
    "comments": comments,
    "bom": byte_order_mark,
    "gzip": gzipped,
}


def is_sse(recording: Recording) -> bool:
    """Whether the body is server-sent events."""
    return str(recording.meta["response_file"]).endswith(".sse")


def is_lines(recording: Recording) -> bool:
    """Whether the body is a JSON document a line."""
    return str(recording.meta["response_file"]).endswith(".ndjson")


def _lines(body: bytes) -> bytes:
    return re.sub(rb"\r\n?", b"\n", body)
