"""What a response leaves with the connection it came over, which other responses use after it."""

import asyncio
import gc
import weakref

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from service.providers.http_body import Body


class _Protocol:
    def __init__(self):
        self.closed = asyncio.get_running_loop().create_future()


class _Reader(aiohttp.StreamReader):
    """One that can be watched."""

    __slots__ = ("__weakref__",)


class _Response:
    """A response that is being received over a connection that may have had others before."""

    def __init__(self, protocol):
        loop = asyncio.get_running_loop()
        connected = BaseProtocol(loop)
        connected.connection_made(asyncio.Transport())
        self.content = _Reader(connected, 2**16, loop=loop)
        self.connection = self
        self.protocol = protocol


async def test_a_response_that_is_over_is_not_kept_by_its_connection():
    protocol = _Protocol()
    left = []
    for _ in range(100):
        response = _Response(protocol)
        body = Body(response)
        response.content.feed_data(b"all there is")
        response.content.feed_eof()
        assert await body.read() == b"all there is"
        assert await body.read() == b""
        left.append(weakref.ref(response.content))
    del response, body
    gc.collect()
    assert len(left) == 100
    assert not [reader for reader in left if reader() is not None]


async def test_a_connection_that_is_lost_later_is_nobodys_unheard_error(caplog):
    protocol = _Protocol()
    for _ in range(2):
        response = _Response(protocol)
        body = Body(response)
        response.content.feed_eof()
        assert await body.read() == b""
    protocol.closed.set_exception(aiohttp.ClientConnectionError("reset"))
    await asyncio.sleep(0)
    del protocol, response, body
    gc.collect()
    assert not caplog.records


@pytest.mark.parametrize("error", [None, aiohttp.ClientConnectionError("reset")])
async def test_a_connection_that_is_lost_meanwhile_wakes_the_reader(error):
    protocol = _Protocol()
    body = Body(_Response(protocol))
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    if error is None:
        protocol.closed.set_result(None)
    else:
        protocol.closed.set_exception(error)
    async with asyncio.timeout(5):
        assert await reading == b""
    assert not body.clean


@pytest.mark.parametrize("arrived", [b"", b"all that came"])
async def test_a_connection_that_is_gone_before_anybody_was_told_is_a_cut(arrived):
    response = _Response(_Protocol())
    body = Body(response)
    if arrived:
        response.content.feed_data(arrived)
        assert await body.read() == arrived
    # The transport is gone, and what is to be called about it has not been called yet.
    response.content._protocol.connection_lost(None)
    async with asyncio.timeout(5):
        assert await body.read() == b""
    assert not body.clean
