"""A provider over HTTP whose answers come at times of a test's choice, in virtual time."""

from __future__ import annotations

import asyncio

from service.config import ProviderConfig, TimeoutsConfig
from service.providers.dialects import DIALECTS
from service.providers.dialects.dialect import HttpRequest
from service.providers.http_provider import HttpProvider

CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
EMPTY = b'data: {"choices":[{"index":0,"delta":{"content":""}}]}\n\n'
NOTHING = b'data: {"choices":[{"index":0,"delta":{}}]}\n\n'
COMMENT = b": wait\n\n"
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
WHOLE = b'{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}'
FOREVER = 10**6  # seconds
REQUEST = HttpRequest("/chat/completions", b"{}")


class Response:
    """Gives its pieces, (seconds after the piece before, bytes). `closed` says when it was.

    `lingers` says that it was left when it was over, to be read to its end by nobody.
    """

    clean = True
    at_end = False
    whole = None

    def __init__(self, *pieces, status=200):
        self.status = status
        self.headers = {}
        self.closed = None
        self.lingers = False
        self._pieces = list(pieces)

    async def read(self):
        if not self._pieces:
            return b""
        seconds, piece = self._pieces[0]
        await asyncio.sleep(seconds)
        self._pieces.pop(0)
        return piece

    def close(self):
        if self.closed is None:
            self.closed = asyncio.get_running_loop().time()

    def linger(self):
        self.lingers = True


class _Client:
    def __init__(self, response, head):
        self._response = response
        self._head = head

    async def post(self, url, headers, body, asker):
        asker.sent = True
        await asyncio.sleep(self._head)
        return self._response

    async def close(self):
        pass


def provider(response, head=0.0, **timeouts):
    """A provider that gives this response, whose head is there after so many seconds."""
    return HttpProvider(
        "acme",
        DIALECTS["openai"].build(ProviderConfig(dialect="openai")),
        _Client(response, head),
        "http://acme",
        timeouts=TimeoutsConfig(**timeouts),
        largest_answer=2**20,
        headers={},
        credentials=None,
        images=None,
    )


async def chunks(made, call):
    """Read a stream to its end, and close it; errors are raised."""
    stream = await made.stream(REQUEST, 1, call)
    read = []
    try:
        while (chunk := await stream.read()) is not None:
            read.append(chunk)
    finally:
        stream.close()
    return read
