"""Server-sent events: bytes in, whole events out, by the algorithm of WHATWG HTML 9.2.6.

Data stays bytes: to decode it is the dialect's part. Fields that matter to a browser only (`id`,
`retry`) are dropped like unknown ones.
"""

from __future__ import annotations

import orjson

from service.errors import FaultKind, ProviderFault
from service.providers.framing.framer import Event

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CR = 0x0D  # as a number: a search for one byte is several times faster than for bytes
_new = tuple.__new__  # all that making an Event does, but for a call in Python
_LARGEST_EVENT = 16 * 2**20


class SseFramer:
    """Cuts one stream into events. No byte is looked at twice, however small the pieces.

    `largest` is how many bytes one event, or one line of it, may hold.
    """

    def __init__(self, *, largest: int = _LARGEST_EVENT) -> None:
        self._largest = largest
        self._at_start = True  # the byte order mark may still come
        self._after_cr = False  # a line feed that comes next belongs to the line end before it
        self._line: list[bytes] = []  # the pieces of a line whose end has not come
        self._line_size = 0
        self._data: list[bytes] = []  # the data lines of an event whose end has not come
        self._data_size = 0
        self._name = b""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes. Raises ProviderFault when one is too large."""
        if self._at_start:
            data = self._without_mark(data)
        if self._after_cr or _CR in data:
            data = self._with_line_feeds(data)
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            lines[0] = b"".join([*self._line, lines[0]])
            self._line.clear()
            self._line_size = 0
        events = self._events(lines) if lines else []
        if rest or self._data:
            self._hold(rest)
        return events

    def end(self) -> list[Event]:
        """Return the event that the end of the bytes left without its blank line, if it is whole.

        The algorithm drops it; providers are known to close right after `[DONE]` or a last chunk.
        It is whole when nothing of it can be missing: it is `[DONE]`, or an object in JSON, of
        which no beginning is one too. Nothing may be fed afterwards.
        """
        field, value = _field(b"".join(self._line))
        payload = b"\n".join([*self._data, value] if field == b"data" else self._data)
        return [Event(self._name.decode(errors="replace"), payload)] if _is_whole(payload) else []

    def _events(self, lines: list[bytes]) -> list[Event]:
        events = []
        held, name, size = self._data, self._name, self._data_size
        for line in lines:
            if line.startswith(b"data: "):  # the usual line: no further look at it
                held.append(line[6:])
                size += len(line)
            elif line:
                field, value = _field(line)
                if field == b"data":
                    held.append(value)
                    size += len(line)
                elif field == b"event":
                    name = value
            else:  # a blank line ends an event
                if held:
                    if size > self._largest:
                        raise self._too_large()
                    payload = held[0] if len(held) == 1 else b"\n".join(held)
                    word = name.decode(errors="replace") if name else ""
                    events.append(_new(Event, (word, payload)))
                    held.clear()
                    size = 0
                name = b""
        self._name, self._data_size = name, size
        return events

    def _hold(self, rest: bytes) -> None:
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
        if self._line_size + self._data_size > self._largest:
            raise self._too_large()

    def _too_large(self) -> ProviderFault:
        return ProviderFault(FaultKind.MALFORMED, f"an event of more than {self._largest} bytes")

    def _without_mark(self, data: bytes) -> bytes:
        """Drop a byte order mark at the very start, which may come in pieces."""
        data = b"".join([*self._line, data])
        self._line.clear()
        self._line_size = 0
        if len(data) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(data):
            return data  # held as the beginning of a line, and looked at again
        self._at_start = False
        return data.removeprefix(_BYTE_ORDER_MARK)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Turn CR LF and CR into LF, also where CR and LF come apart."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Return a line's field name and value; a comment's name is empty."""
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _is_whole(payload: bytes) -> bool:
    stripped = payload.strip()
    if not stripped.startswith(b"{"):
        return stripped == b"[DONE]"
    try:
        orjson.loads(stripped)
    except orjson.JSONDecodeError:
        return False
    return True
