"""Newline-delimited JSON: bytes in, whole lines out, each an event without a name.

A line ends with LF; a CR before it is white space, which JSON takes anywhere, and blank lines are
none. What is in a line is the dialect's part.
"""

from __future__ import annotations

import orjson

from service.errors import FaultKind, ProviderFault
from service.providers.framing.framer import Event

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\r"
_LARGEST_LINE = 16 * 2**20


class NdjsonFramer:
    """Cuts one stream into events. No byte is looked at twice, however small the pieces.

    `largest` is how many bytes a line may have before its LF. What came before a line that is too
    large is given first, as if it had come alone: the fault is raised by the call after, so that
    the events of a stream do not depend on how its bytes were split.
    """

    def __init__(self, *, largest: int = _LARGEST_LINE) -> None:
        self._largest = largest
        self._at_start = True  # the byte order mark may still come
        self._line: list[bytes] = []  # the pieces of a line whose end has not come
        self._line_size = 0
        self._fault: ProviderFault | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes. Raises ProviderFault for a line too large."""
        if self._fault is not None:
            raise self._fault
        if self._at_start:
            data = self._without_mark(data)
        first, *lines = data.split(b"\n")
        self._hold(first)
        if lines:
            lines.insert(0, self._take())
            self._hold(lines.pop())
        return self._events(lines)

    def end(self) -> list[Event]:
        """Return the last line where only its LF is missing: a JSON object that is whole.

        No beginning of an object is one too, so nothing of it can be missing. Nothing may be fed
        afterwards. Raises the ProviderFault that is still due.
        """
        if self._fault is not None:
            raise self._fault
        line = self._take().strip(_WHITE_SPACE)
        return [Event("", line)] if _is_object(line) else []

    def _events(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        try:
            for line in lines:
                self._check(len(line))
                if stripped := line.strip(_WHITE_SPACE):
                    events.append(Event("", stripped))
            self._check(self._line_size)
        except ProviderFault as fault:
            self._fault = fault
            if not events:
                raise
        return events

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._line_size += len(piece)

    def _take(self) -> bytes:
        line = b"".join(self._line)
        self._line.clear()
        self._line_size = 0
        return line

    def _check(self, size: int) -> None:
        if size > self._largest:
            raise ProviderFault(FaultKind.MALFORMED, f"a line of more than {self._largest} bytes")

    def _without_mark(self, data: bytes) -> bytes:
        """Drop a byte order mark at the very start, which may come in pieces."""
        data = self._take() + data
        if len(data) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(data):
            return data  # held as the beginning of a line, and looked at again
        self._at_start = False
        return data.removeprefix(_BYTE_ORDER_MARK)


def _is_object(line: bytes) -> bool:
    if not line.startswith(b"{"):
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True
