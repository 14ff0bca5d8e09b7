"""AWS event streams (`application/vnd.amazon.eventstream`): bytes in, whole events out.

A frame is a prelude (its length, its headers' length, and a CRC-32 of the two), headers, a payload
and a CRC-32 of all that came before. What becomes of it is said by its header `:message-type`:

    event      -> Event(":event-type", payload)
    exception  -> Event("exception:" + ":exception-type", payload)
    error      -> Event("error:" + ":error-code", payload, or ":error-message" where it is empty)

A message type that is none of these gives an event without a name.
"""

from __future__ import annotations

import struct
import zlib

from service.errors import FaultKind, ProviderFault
from service.providers.framing.framer import Event

_PRELUDE = struct.Struct(">III")  # length of the frame, length of its headers, checksum
_CHECKSUM = struct.Struct(">I")
_SMALLEST_FRAME = _PRELUDE.size + _CHECKSUM.size
_LARGEST_HEADERS = 128 * 2**10  # bytes; this and the payload's bound are the format's own
_LARGEST_FRAME = _SMALLEST_FRAME + _LARGEST_HEADERS + 24 * 2**20
_MOST_NAMES = 64  # different headers of which one stream remembers what they mean

# Sizes of header values in bytes, by type: true, false, byte, short, int, long, timestamp, uuid.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _STRING = 6, 7  # types whose values tell their own size, in two bytes


class EventStreamFramer:
    """Cuts one stream into events. `largest` is how many bytes one frame may have.

    What came before a bad frame is given first, as if it had come alone: the fault is raised by the
    call after, so that the events of a stream do not depend on how its bytes were split.
    """

    def __init__(self, *, largest: int = _LARGEST_FRAME) -> None:
        self._largest = largest
        self._buffer = bytearray()
        self._size = 0  # of the frame that the buffer begins with; 0 until its prelude is there
        self._headers_size = 0
        self._names: dict[bytes, str] = {}  # headers come in few variants: event names by headers
        self._fault: ProviderFault | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes. Raises ProviderFault MALFORMED."""
        if self._fault is not None:
            raise self._fault
        self._buffer += data
        events: list[Event] = []
        start = 0
        try:
            while len(self._buffer) - start >= (self._size or _PRELUDE.size):
                if self._size:
                    end = start + self._size
                    events.append(self._event(bytes(self._buffer[start:end])))
                    start, self._size = end, 0
                else:
                    self._read_prelude(start)
        except ProviderFault as fault:
            self._fault = fault
            if not events:
                raise
        del self._buffer[:start]
        return events

    def end(self) -> list[Event]:
        """Return nothing: half a frame is none. Raises the ProviderFault that is still due."""
        if self._fault is not None:
            raise self._fault
        return []

    def _read_prelude(self, start: int) -> None:
        prelude = bytes(self._buffer[start : start + _PRELUDE.size])
        size, headers_size, checksum = _PRELUDE.unpack(prelude)
        if zlib.crc32(prelude[: -_CHECKSUM.size]) != checksum:
            raise _malformed("a prelude with a wrong checksum")
        if not _SMALLEST_FRAME <= size <= self._largest:
            raise _malformed(f"a frame of {size} bytes")
        if headers_size > min(_LARGEST_HEADERS, size - _SMALLEST_FRAME):
            raise _malformed(f"headers of {headers_size} bytes in a frame of {size}")
        self._size, self._headers_size = size, headers_size

    def _event(self, frame: bytes) -> Event:
        covered = memoryview(frame)[: -_CHECKSUM.size]
        if zlib.crc32(covered) != _CHECKSUM.unpack_from(frame, len(covered))[0]:
            raise _malformed("a frame with a wrong checksum")
        headers_end = _PRELUDE.size + self._headers_size
        headers = frame[_PRELUDE.size : headers_end]
        payload = frame[headers_end : -_CHECKSUM.size]
        name = self._names.get(headers)
        if name is not None:
            return Event(name, payload)
        strings = _strings(headers)
        kind = strings.get(":message-type", "event")
        if kind == "error":
            told = payload or strings.get(":error-message", "").encode()
            return Event(f"error:{strings.get(':error-code', '')}", told)
        name = _name(kind, strings)
        if len(self._names) < _MOST_NAMES:
            self._names[headers] = name
        return Event(name, payload)


def _name(kind: str, strings: dict[str, str]) -> str:
    if kind == "event":
        return strings.get(":event-type", "")
    if kind == "exception":
        return f"exception:{strings.get(':exception-type', '')}"
    return ""


def _strings(headers: bytes) -> dict[str, str]:
    """Return the headers that are strings, by name. Raises ProviderFault for broken headers."""
    found: dict[str, str] = {}
    names = set()
    at = 0
    try:
        while at < len(headers):
            name, at = _take(headers, at + 1, headers[at])
            kind, at = _take(headers, at, 1)
            size = _SIZES.get(kind[0])
            if size is None:
                if kind[0] not in (_BYTES, _STRING):
                    raise _malformed(f"a header of type {kind[0]}")
                length, at = _take(headers, at, 2)
                size = int.from_bytes(length)
            value, at = _take(headers, at, size)
            if not name or name in names:
                raise _malformed("a header without a name of its own")
            names.add(name)
            if kind[0] == _STRING:
                found[name.decode()] = value.decode()
    except UnicodeDecodeError:
        raise _malformed("a header that is not UTF-8") from None
    return found


def _take(headers: bytes, at: int, size: int) -> tuple[bytes, int]:
    """Return the `size` bytes at `at`, and where they end."""
    end = at + size
    if end > len(headers):
        raise _malformed("a header that is cut off")
    return headers[at:end], end


def _malformed(detail: str) -> ProviderFault:
    return ProviderFault(FaultKind.MALFORMED, f"{detail} in an event stream")
