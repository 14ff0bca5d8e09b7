"""Cuts Gemini's streams into events: server-sent events, and the JSON that may come in their place.

Asked for with `alt=sse` a stream is server-sent events, but an error in the middle comes as bare
JSON on lines of its own. A server that does not know `alt=sse` sends one JSON array instead.
"""

from __future__ import annotations

import re

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Event
from service.providers.framing.sse import SseFramer

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# No line of server-sent events that means anything begins with these.
_JSON_BEGINS = (b"\n{", b"\n[", b"\r{", b"\r[")
_TOKEN = re.compile(rb'["\\{}]')
_LARGEST_OBJECT = 16 * 2**20  # bytes


class GeminiFramer:
    """Server-sent events up to the first line that begins a JSON value, and from there JSON."""

    def __init__(self, *, largest: int = _LARGEST_OBJECT) -> None:
        self._events = SseFramer(largest=largest)
        self._objects = _ObjectFramer(largest)
        self._is_json = False
        self._head: bytes | None = b""  # held while it may be the beginning of a byte order mark
        self._at_line_start = True

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes. Raises ProviderFault when one is too large."""
        if not data:
            return []
        if self._is_json:
            return self._objects.feed(data)
        if self._head is not None:
            data = self._head + data
            if len(data) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(data):
                self._head = data
                return []
            self._head = None
            data = data.removeprefix(_BYTE_ORDER_MARK)
        start = self._json_start(data)
        if start is None:
            self._at_line_start = data.endswith((b"\r", b"\n")) or (
                self._at_line_start and not data
            )
            return self._events.feed(data)
        self._is_json = True
        before = self._events.feed(data[:start]) + self._events.end()
        return before + self._objects.feed(data[start:])

    def end(self) -> list[Event]:
        """Return the event that only lacks its last line break; a cut object is none."""
        return [] if self._is_json else self._events.end()

    def _json_start(self, data: bytes) -> int | None:
        if self._at_line_start and data.startswith((b"[", b"{")):
            return 0
        found = [at for mark in _JSON_BEGINS if (at := data.find(mark)) >= 0]
        return min(found) + 1 if found else None


class _ObjectFramer:
    """Cuts a JSON array, or JSON objects one after another, into the outermost objects.

    What stands between them is skipped: brackets, commas and white space.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._pieces: list[bytes] = []  # of an object whose end has not come
        self._size = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False  # whether the next byte belongs to the backslash before it

    def feed(self, data: bytes) -> list[Event]:
        events = []
        begin = 0  # of the object that is going on
        skipped = 0 if self._escaped else -1
        for match in _TOKEN.finditer(data):
            at = match.start()
            if at == skipped:
                continue
            token = match[0]
            if self._in_string:
                self._in_string = token != b'"'
                if token == b"\\":
                    skipped = at + 1
            elif token == b"{":
                if self._depth == 0:
                    begin = at
                self._depth += 1
            elif self._depth and token == b'"':
                self._in_string = True
            elif self._depth and token == b"}":
                self._depth -= 1
                if self._depth == 0:
                    self._hold(data[begin : at + 1])
                    events.append(Event("", b"".join(self._pieces)))
                    self._pieces, self._size = [], 0
        self._escaped = skipped == len(data)
        if self._depth:
            self._hold(data[begin:])
        return events

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._largest:
            raise ProviderFault(
                FaultKind.MALFORMED, f"an object of more than {self._largest} bytes"
            )
        self._pieces.append(piece)
