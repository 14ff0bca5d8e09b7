"""From bytes to an answer's head and the pieces of its body, held to bounds. No I/O.

Framing is llhttp's affair. It is as lenient here as aiohttp has it, whose users have met the
servers that need this; never about where a body ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from service.providers.http_client.errors import BadAnswer

_MOST_SILENT = 64 * 2**10  # bytes that bring no body: heads, interim ones, trailers, extensions
_MOST_FIELD = 8190  # bytes of a name with its value
_MOST_FIELDS = 128


class Sink(Protocol):
    """Where a body goes."""

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        ...


Fields = dict[bytes, bytes]  # names in lower case; of a name that comes twice, the first value


class AnswerParser:
    """Parses one answer after the other; `begun` is told of each head, and says who takes the body.

    Of the answer that `expect` announced: `over` says that all of it has been parsed, `keeps` that
    another one may follow, and `until_closed` that its body goes on to the connection's end.
    """

    def __init__(self, begun: Callable[[int, Fields], Sink]) -> None:
        self.over = False
        self.keeps = False
        self.until_closed = False
        self._begun = begun
        self._sink: Sink | None = None
        self._fields: Fields = {}
        self._fields_seen = 0
        self._silent = 0  # bytes since the last that were of a body
        self._pieces: list[bytes] = []  # of a body, that this feed has brought so far
        # llhttp calls it for every chunk of a coding: a provider sends each event in one.
        self.on_body = self._pieces.append
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def expect(self) -> None:
        """Get ready for the answer to another request."""
        self.over = self.keeps = self.until_closed = False
        self._sink = None
        self._fields_seen = self._silent = 0

    def close(self) -> None:
        """Expect nothing more; without this, only the collector of cycles would free it."""
        self._sink = None
        del self._parser, self._begun

    def feed(self, data: bytes) -> None:
        """Parse what has arrived. Raises BadAnswer; an answer that is `over` by then is whole."""
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            raise BadAnswer("what came is no HTTP") from None
        finally:
            if self._pieces:
                self._give()
        if self._silent > _MOST_SILENT and not self.over:
            raise BadAnswer("a head without an end")

    # What llhttp calls; an exception is HttpParserError to `feed`.

    def on_message_begin(self) -> None:  # noqa: D102
        if self.over:
            raise BadAnswer("two answers to one request")

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        self._fields_seen += 1
        if self._fields_seen > _MOST_FIELDS or len(name) + len(value) > _MOST_FIELD:
            raise BadAnswer("a head that is too large")
        if b"\0" in value:
            raise BadAnswer("a header that is none")
        if self._sink is not None:
            return  # a trailer
        name = name.lower().rstrip(b" ")  # llhttp goes by a length and a coding so written
        if name not in self._fields:
            self._fields[name] = value
        elif name == b"transfer-encoding":
            raise BadAnswer("two transfer codings")

    def on_headers_complete(self) -> None:  # noqa: D102
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, {}
        if status < 200:
            if status < 100:
                raise BadAnswer("a status that is none")
            return  # an interim answer; of 101, which means another protocol, the parser says so
        coding = fields.get(b"transfer-encoding")
        if coding is not None and coding.strip().lower() != b"chunked":
            raise BadAnswer("a transfer coding that was not asked for")
        self.until_closed = coding is None and b"content-length" not in fields
        self._sink = self._begun(status, fields)

    def on_message_complete(self) -> None:  # noqa: D102
        if self._pieces:
            self._give()
        if self._sink is not None:  # else it was an interim answer
            self._sink = None  # a connection that is kept is not to keep what came over it
            self.over = True
            self.keeps = self._parser.should_keep_alive()

    def _give(self) -> None:
        """Give the body what has come of it."""
        self._silent = 0
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._sink is not None:
            self._sink.feed(piece)
