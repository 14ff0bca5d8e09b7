"""From bytes to an answer's head and the pieces of its body, held to bounds. No I/O.

Framing is llhttp's affair. It is as lenient here as aiohttp has it, whose users have met the
servers that need this; never about where a body ends.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from service.providers.http_client.errors import BadAnswer

_MOST_SILENT = 64 * 2**10  # bytes that bring no body: heads, interim ones, trailers, extensions
_MOST_FIELD = 8190  # bytes of a name with its value
_MOST_FIELDS = 128

Fields = dict[bytes, bytes]  # names in lower case; of a name that comes twice, the first value


class AnswerParser:
    """Parses one answer after the other.

    Of the answer that `expect` announced: `status` and `fields` are its head, once that is there;
    before, `status` is 0. `over` says that all of it has been parsed, `keeps` that another one may
    follow, and `until_closed` that its body goes on to the connection's end. `failure` is why
    nothing more can be parsed; an answer that is `over` by then is whole.
    """

    def __init__(self) -> None:
        self.failure: BadAnswer | None = None
        self.expect()
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
        self.status = 0
        self.fields: Fields = {}
        self.over = self.keeps = self.until_closed = False
        self._fields_seen = 0
        self._silent = 0  # bytes since the last that were of a body

    def close(self) -> None:
        """Expect nothing more; without this, only the collector of cycles would free it."""
        del self._parser

    def feed(self, data: bytes) -> bytes:
        """Parse what has arrived, and return what of it is the answer's body."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.failure = BadAnswer("what came is no HTTP")
        pieces = self._pieces
        if pieces:
            self._silent = 0
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            return body
        self._silent += len(data)
        if self._silent > _MOST_SILENT and not (self.over or self.failure):
            self.failure = BadAnswer("a head without an end")
        return b""

    # What llhttp calls; an exception is HttpParserError to `feed`.

    def on_message_begin(self) -> None:  # noqa: D102
        if self.over:
            raise BadAnswer("two answers to one request")

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: D102
        self._fields_seen += 1
        if self._fields_seen > _MOST_FIELDS or len(name) + len(value) > _MOST_FIELD:
            raise BadAnswer("a head that is too large")
        if 0 in value:
            raise BadAnswer("a header that is none")
        if self.status:
            return  # a trailer
        name = name.lower().rstrip(b" ")  # llhttp goes by a length and a coding so written
        if name not in self.fields:
            self.fields[name] = value
        elif name == b"transfer-encoding":
            raise BadAnswer("two transfer codings")

    def on_headers_complete(self) -> None:  # noqa: D102
        status = self._parser.get_status_code()
        fields = self.fields
        if status < 200:
            if status < 100:
                raise BadAnswer("a status that is none")
            fields.clear()
            return  # an interim answer; of 101, which means another protocol, the parser says so
        coding = fields.get(b"transfer-encoding")
        if coding is None:
            self.until_closed = b"content-length" not in fields
        elif coding.strip().lower() != b"chunked":
            raise BadAnswer("a transfer coding that was not asked for")
        self.status = status

    def on_message_complete(self) -> None:  # noqa: D102
        if self.status:  # else it was an interim answer
            self.over = True
            self.keeps = self._parser.should_keep_alive()
