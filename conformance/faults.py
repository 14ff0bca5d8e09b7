"""What goes wrong behind a gateway; out of none of it may come an answer that looks whole."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from conformance.forms import is_lines, is_sse
from conformance.recordings import Recording
from conformance.upstream.scripts import Framing, Piece, Script, pause, reset, stall

Fault = Callable[[Recording], Script | None]  # None: it says nothing of such an answer

_PAGE = (
    b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>\n"
)
_HTML = {"Content-Type": "text/html"}
_ARRIVAL = 0.02  # seconds for what was sent to be read before a reset throws it away

# The first thing of a stream that says how it ends; what is before it is never a whole answer.
_TERMINAL = {
    "openai": rb'"finish_reason"\s*:\s*"|data:\s*\[DONE\]',
    "anthropic": rb'"type"\s*:\s*"message_delta"',
    "bedrock": rb"messageStop",
    "cohere": rb'"type"\s*:\s*"message-end"',
    "gemini": rb'"finishReason"|"promptFeedback"',
    "vertex": rb'"finishReason"|"promptFeedback"',
    "ollama": rb'"done"\s*:\s*true',
}


def before_its_end(recording: Recording) -> int:
    """Where the event begins that says how the stream ends; inside it, where it is the only one."""
    found = re.search(_TERMINAL[recording.dialect], recording.body)
    assert found is not None, f"{recording.name} does not say how it ends"
    if recording.dialect == "bedrock":
        begin = _frame_before(recording.body, found.start())
    elif is_sse(recording):
        ends = re.finditer(rb"\r?\n\r?\n", recording.body[: found.start()])
        begin = max((end.end() for end in ends), default=0)
    else:
        begin = recording.body.rfind(b"\n", 0, found.start()) + 1
    return begin or found.start()


def _frame_before(body: bytes, place: int) -> int:
    at = 0
    while at + (length := struct.unpack_from(">I", body, at)[0]) <= place:
        at += int(length)
    return at


def _stop(step: Piece | None, *, early: bool) -> Fault:
    """The answer up to a point, then `step`. Early is inside the first event."""

    def fault(recording: Recording) -> Script | None:
        body, framing = recording.body, Framing.CHUNKED
        if not recording.streamed and (early or step is stall):
            return None  # a whole answer has no first event; and it may take its time
        if early:
            said = body[:6]
        elif recording.streamed:
            said = body[: before_its_end(recording)]
        else:
            said = body[: len(body) // 2]
        pieces: list[Piece] = [said]
        if step is not None:
            pieces += [pause(_ARRIVAL), step]
        return Script(pieces, recording.status, recording.headers, framing)

    return fault


def _garbage(*, early: bool) -> Fault:
    """Bytes that mean nothing in a place where there should be an event; the rest follows."""

    def fault(recording: Recording) -> Script | None:
        body = recording.body
        if not recording.streamed:
            middle = len(body) // 2
            return (
                None if early else recording.script(body[:middle] + b"\x00\xff}{" + body[middle:])
            )
        at = 0 if early else before_its_end(recording)
        if is_sse(recording):
            junk = b'data: {"\x00\xfe\xff}{\n\n'
        elif is_lines(recording):
            junk = b'{"\x00\xfe\xff}{\n'
        else:
            junk = b"\xa5\x00\xfe\xff" * 16
        return recording.script(body[:at] + junk + body[at:])

    return fault


def empty(recording: Recording) -> Script:
    """The status 200 and nothing."""
    return Script([], 200, recording.headers, Framing.LENGTH)


def page_as_answer(_: Recording) -> Script:
    """What a proxy that is at a loss says, with the status 200."""
    return Script([_PAGE], 200, _HTML, Framing.LENGTH)


def page_as_error(_: Recording) -> Script:
    """The same with an honest status."""
    return Script([_PAGE], 502, _HTML, Framing.LENGTH)


FAULTS: dict[str, Fault] = {
    "reset-early": _stop(reset, early=True),
    "reset": _stop(reset, early=False),
    "cut-early": _stop(None, early=True),
    "cut": _stop(None, early=False),
    "stall-early": _stop(stall, early=True),
    "stall": _stop(stall, early=False),
    "garbage-early": _garbage(early=True),
    "garbage": _garbage(early=False),
    "empty": empty,
    "html-200": page_as_answer,
    "html-502": page_as_error,
}
BEFORE_CONTENT = frozenset(
    {"reset-early", "cut-early", "stall-early", "garbage-early", "empty", "html-200", "html-502"}
)
STALLS = frozenset({"stall-early", "stall"})


def can_fail(recording: Recording) -> bool:
    """Whether there is an answer to spoil."""
    return recording.status == 200 and not recording.expect.get("errors")
