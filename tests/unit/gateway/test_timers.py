"""The door's timers at their full length, in virtual time: comments, slow bodies, the grace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import HttpVersion11, web

from gateway.drain import Drain
from gateway.errors import HttpError
from gateway.event_stream import EventStream
from gateway.exchange import Exchange
from gateway.request_body import BodyReader
from gateway.transcoding.chunks import KEEP_ALIVE
from tests.unit.virtual_time import run

KEEPALIVE = 15.0
EVENT = b"data: {}\n\n"


def now() -> float:
    return asyncio.get_running_loop().time()


class _Writer:
    """What was written, and when. Each write takes `slow` seconds."""

    def __init__(self) -> None:
        self.written: list[tuple[float, bytes]] = []
        self.slow = 0.0

    def enable_chunking(self) -> None:
        self.written.clear()  # that was the head

    async def write(self, data: bytes) -> None:
        self.written.append((now(), data))
        await asyncio.sleep(self.slow)

    async def write_eof(self) -> None:
        self.written.append((now(), b""))


def written(
    send: Callable[[EventStream, _Writer], Awaitable[None]],
) -> list[tuple[float, bytes]]:
    """Let a stream of a client be sent to, and return what was written."""

    async def main() -> list[tuple[float, bytes]]:
        writer = _Writer()
        exchange = SimpleNamespace(
            writer=writer,
            version=HttpVersion11,
            keep_alive=True,
            lines="",
            route_lines="",
            model="",
        )
        stream = EventStream(cast("Exchange", exchange), KEEPALIVE)
        await send(stream, writer)
        await stream.write_eof()
        await asyncio.sleep(1000)
        return writer.written

    return run(main())


def test_a_comment_is_sent_whenever_nothing_was_for_so_long_and_none_after_the_end() -> None:
    async def send(stream: EventStream, _: _Writer) -> None:
        await asyncio.sleep(50)  # nothing has come yet
        await stream.send(EVENT)
        await asyncio.sleep(14)
        await stream.send(EVENT)
        await asyncio.sleep(16)

    assert written(send) == [
        (15, KEEP_ALIVE),
        (30, KEEP_ALIVE),
        (45, KEEP_ALIVE),
        (50, EVENT),
        (64, EVENT),
        (79, KEEP_ALIVE),
        (80, b""),
    ]


def test_a_client_that_takes_long_to_read_an_event_gets_no_comment_inside_it() -> None:
    async def send(stream: EventStream, writer: _Writer) -> None:
        writer.slow = 100
        await stream.send(EVENT)
        writer.slow = 0
        await stream.send(EVENT)

    assert written(send) == [(0, EVENT), (100, EVENT), (100, b"")]


class _Silent:
    """A request whose body does not come."""

    content_length = 9
    headers = {"Content-Type": "application/json"}  # noqa: RUF012

    def __init__(self) -> None:
        self.content = self

    def is_eof(self) -> bool:
        return False

    at_eof = is_eof

    async def readany(self) -> bytes:
        await asyncio.Event().wait()
        return b""


def test_a_body_is_waited_for_as_long_as_is_said() -> None:
    async def main() -> float:
        with pytest.raises(HttpError) as caught:
            await BodyReader(100, 60.0).rest(cast("web.Request", _Silent()))
        assert caught.value.status == 408
        return now()

    assert run(main()) == 60


def test_chats_inside_have_the_grace_to_end_and_are_told_when_it_is_over() -> None:
    async def main() -> None:
        drain, ends = Drain(), []

        async def chat(seconds: float) -> None:
            try:
                with drain:
                    await asyncio.sleep(seconds)
                ends.append((now(), None))
            except HttpError as error:
                ends.append((now(), error.status))

        chats = [asyncio.create_task(chat(it)) for it in (10.0, 29.0, 500.0)]
        await asyncio.sleep(0)
        await drain.close(30.0)
        assert now() == 30
        assert ends == [(10, None), (29, None), (30, 503)]
        with pytest.raises(HttpError), drain:
            pass
        await asyncio.gather(*chats)

    run(main())


def test_a_chat_that_does_not_end_when_it_is_told_to_is_waited_for_two_seconds_more() -> None:
    async def main() -> float:
        drain = Drain()

        async def stubborn() -> Any:
            with drain:
                try:
                    await asyncio.sleep(500)
                finally:
                    await asyncio.sleep(500)  # a client that does not read its farewell

        chat = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await drain.close(30.0)
        closed = now()
        await asyncio.wait([chat])
        chat.exception()
        return closed

    assert run(main()) == 32
