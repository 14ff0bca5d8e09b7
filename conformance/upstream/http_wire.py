"""The little of HTTP/1.1 that the scripted provider needs: a request in, an answer's head out."""

from __future__ import annotations

from conformance.upstream.scripts import Framing, Request, Script


def head(script: Script) -> bytes:
    """The status line and headers of an answer, with the header its framing needs."""
    lines = [f"HTTP/1.1 {script.status} Scripted"]
    lines += [f"{name}: {value}" for name, value in script.headers.items()]
    if script.framing is Framing.CHUNKED:
        lines.append("Transfer-Encoding: chunked")
    elif script.framing is Framing.LENGTH:
        length = sum(len(piece) for piece in script.pieces if isinstance(piece, bytes))
        lines.append(f"Content-Length: {length}")
    else:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def take_request(unread: bytearray) -> Request | None:
    """Take the first whole request off the front of `unread`; None while it is incomplete."""
    end = unread.find(b"\r\n\r\n")
    if end < 0:
        return None
    request_line, *fields = bytes(unread[:end]).decode("latin-1").split("\r\n")
    method, path, _ = request_line.split(" ", 2)
    pairs = (line.split(":", 1) for line in fields)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    start = end + 4
    if headers.get("transfer-encoding", "").lower() == "chunked":
        taken = _chunked_body(bytes(unread[start:]))
    else:
        length = int(headers.get("content-length", "0"))
        whole = len(unread) >= start + length
        taken = (bytes(unread[start : start + length]), length) if whole else None
    if taken is None:
        return None
    del unread[: start + taken[1]]
    return Request(method, path, headers, taken[0])


def _chunked_body(data: bytes) -> tuple[bytes, int] | None:
    """The body and how many bytes it took on the wire; None while it is incomplete."""
    body, at = b"", 0
    while (line_end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line_end].split(b";")[0], 16)
        at = line_end + 2 + size + 2
        if len(data) < at:
            return None
        if size == 0:
            return body, at
        body += data[line_end + 2 : at - 2]
    return None
