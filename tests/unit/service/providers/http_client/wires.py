"""Connections without sockets: a test says what comes over them, and sees what goes out."""

from __future__ import annotations

import asyncio

from service.providers.http_client.client import HttpClient

URL = "http://acme.example/v1/chat/completions"
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Wire(asyncio.Transport):
    """What a connection writes to. It takes everything at once, until it is `clogged`."""

    def __init__(self, connection):
        super().__init__()
        self.connection = connection
        self.sent = bytearray()
        self.writes = []
        self.clogged = False
        self.paused = False
        self.closed_at = None
        connection.connection_made(self)

    def write(self, data):
        assert self.closed_at is None
        self.writes.append(data)
        self.sent += data
        if self.clogged:
            self.connection.pause_writing()

    def unclog(self, *, again=False):
        """Let what has been written go, and more be written: up to the next piece, or for good."""
        self.clogged = again
        self.connection.resume_writing()

    def get_write_buffer_size(self):
        return len(self.sent) if self.clogged else 0

    def pause_reading(self):
        assert not self.paused
        self.paused = True

    def resume_reading(self):
        assert self.paused
        self.paused = False

    def is_closing(self):
        return self.closed_at is not None

    def abort(self):
        if self.closed_at is None:
            loop = asyncio.get_running_loop()
            self.closed_at = loop.time()
            loop.call_soon(self.connection.connection_lost, None)

    def says(self, *pieces):
        """The provider sends this, each piece in a packet of its own."""
        for piece in pieces:
            assert not self.paused
            if self.closed_at is None:
                self.connection.data_received(piece)

    def hangs_up(self):
        """The provider closes its side."""
        if not self.connection.eof_received():
            self.abort()

    def breaks(self):
        """The connection is reset."""
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()
            self.connection.connection_lost(ConnectionResetError())


class Wires:
    """A dialer whose connections wait for `held`, and of which `failure` comes instead, if set."""

    once = False

    def __init__(self):
        self.made = []
        self.dialled = []
        self.held = None
        self.failure = None
        self.closed = False

    def proxy(self):
        return None

    async def dial(self, to, make):
        self.dialled.append(to.url)
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        self.made.append(Wire(make()))
        return self.made[-1].connection

    async def close(self):
        self.closed = True

    @property
    def last(self):
        return self.made[-1]


class Caller:
    """A client over wires, and a request of a few words."""

    def __init__(self):
        self.wires = Wires()
        self.client = HttpClient(self.wires)
        self._sent = 0

    @property
    def sent(self):
        """How many requests went to a connection."""
        return self._sent

    @sent.setter
    def sent(self, sent):
        assert sent is True
        self._sent += 1

    async def begin(self, body=b"{}", headers=None, url=URL):
        """Ask, and return the task that waits for the answer once the request is on its way."""
        task = asyncio.create_task(self.client.post(url, headers or {}, body, self))
        for _ in range(3):
            await asyncio.sleep(0)
        return task

    async def ask(self, *pieces, body=b"{}"):
        """Ask, be told this, and return the answer that has begun."""
        task = await self.begin(body)
        self.wires.last.says(*pieces)
        return await task


async def whole(response):
    """Read a body to its end; return it and whether the end was clean."""
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces), response.clean
