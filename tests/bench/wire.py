"""HTTP/1.1 responses from bytes, for the load: as little as is needed, and strict. No I/O."""

from __future__ import annotations


class WrongAnswer(Exception):
    """An answer that is not the one to the question. Ends the run: its figures mean nothing."""


class ResponseReader:
    """Reads one response. `ended` says that all of it has been fed."""

    __slots__ = ("_held", "_left", "chunked", "ended", "head", "status")

    def __init__(self) -> None:
        self._held = b""
        self._left = 0  # bytes of the body (or of the chunk) to come
        self.chunked = False
        self.ended = False
        self.head = b""
        self.status = 0

    def feed(self, data: bytes) -> bytes:
        """Return what of the body has come. Raises WrongAnswer for what is not HTTP."""
        if self.ended:
            raise WrongAnswer(f"bytes after the end of an answer: {data[:80]!r}")
        if not self.status:
            data = self._held + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._held = data
                return b""
            self._read_head(data[:end])
            self._held = b""
            data = data[end + 4 :]
        if self.chunked:
            return self._chunks(data)
        self._left -= len(data)
        if self._left < 0:
            raise WrongAnswer("a body of more bytes than were announced")
        self.ended = self._left == 0
        return data

    def _read_head(self, head: bytes) -> None:
        self.head = head.lower()
        if not head.startswith(b"HTTP/1.1 "):
            raise WrongAnswer(f"not HTTP/1.1: {head[:80]!r}")
        self.status = int(head[9:12])
        self.chunked = b"transfer-encoding: chunked" in self.head
        if not self.chunked:
            _, found, after = self.head.partition(b"content-length:")
            if not found:
                raise WrongAnswer("an answer of unknown length")
            self._left = int(after.partition(b"\r\n")[0])

    def _chunks(self, data: bytes) -> bytes:
        """Take the chunks that are whole; the rest is held until more comes."""
        if self._held:
            data = self._held + data
        pieces = []
        at, size = 0, len(data)
        while (line := data.find(b"\r\n", at)) >= 0:
            length = int(data[at:line], 16)
            end = line + 2 + length
            if size < end + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise WrongAnswer("a chunk without its end")
            at = end + 2
            if length == 0:
                self.ended = True
                if at < size:
                    raise WrongAnswer("bytes after the end of an answer")
                break
            pieces.append(data[line + 2 : end])
        self._held = data[at:]
        return b"".join(pieces)
