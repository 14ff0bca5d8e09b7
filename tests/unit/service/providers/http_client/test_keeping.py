"""Which connections are used again, and for how long they are kept."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from service.providers.http_client.errors import ConnectionLost
from tests.unit.service.providers.http_client.wires import HELLO, Caller
from tests.unit.virtual_time import run


def closed_at(caller):
    return [wire.closed_at for wire in caller.wires.made]


async def several(caller, count):
    """So many requests at a time, answered one a second."""
    tasks = [await caller.begin() for _ in range(count)]
    for wire, task in zip(caller.wires.made, tasks, strict=True):
        await asyncio.sleep(1)
        wire.says(HELLO)
        await task


async def test_there_are_as_many_connections_as_requests_at_a_time():
    caller = Caller()
    tasks = [await caller.begin() for _ in range(200)]
    for wire in caller.wires.made:
        wire.says(HELLO)
    await asyncio.gather(*tasks)
    assert len(caller.wires.made) == 200


def test_an_idle_connection_is_closed_after_half_a_minute():
    async def main():
        caller = Caller()
        await several(caller, 3)
        await asyncio.sleep(100)
        assert closed_at(caller) == [31, 32, 33]

    run(main())


def test_the_connection_used_last_is_used_next_so_that_those_too_many_are_closed():
    async def main():
        caller = Caller()
        await several(caller, 3)
        for _ in range(10):
            await asyncio.sleep(10)
            task = await caller.begin()
            caller.wires.last.says(HELLO)
            await task
        await asyncio.sleep(100)
        assert closed_at(caller) == [31, 32, 3 + 100 + 30]

    run(main())


def test_a_connection_that_is_in_use_is_not_closed():
    async def main():
        caller = Caller()
        await caller.ask(HELLO)
        await asyncio.sleep(29)
        task = await caller.begin()
        await asyncio.sleep(100)
        caller.wires.last.says(HELLO)
        await task
        assert closed_at(caller) == [None]
        await asyncio.sleep(100)
        assert closed_at(caller) == [159]

    run(main())


def test_no_timer_is_left_when_nothing_is_kept():
    async def main():
        caller = Caller()
        await caller.ask(HELLO)
        await asyncio.sleep(100)
        loop = asyncio.get_running_loop()
        assert not [it for it in loop._scheduled if not it.cancelled()]
        await caller.ask(HELLO)
        await caller.client.close()
        assert not [it for it in loop._scheduled if not it.cancelled()]

    run(main())


@pytest.mark.parametrize("way", ["hangs_up", "breaks", "abort"])
async def test_a_connection_that_ended_while_idle_is_not_used(way):
    caller = Caller()
    await caller.ask(HELLO)
    getattr(caller.wires.last, way)()
    await caller.ask(HELLO)
    assert len(caller.wires.made) == 2


@pytest.mark.parametrize("said", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\r\n", b"x", HELLO])
async def test_a_connection_that_says_something_while_idle_is_closed(said):
    caller = Caller()
    await caller.ask(HELLO)
    caller.wires.last.says(said)
    assert caller.wires.last.is_closing()
    await caller.ask(HELLO)
    assert len(caller.wires.made) == 2


async def test_a_request_that_a_kept_connection_loses_is_not_sent_again():
    caller = Caller()
    await caller.ask(HELLO)
    task = await caller.begin()
    caller.wires.last.hangs_up()
    with pytest.raises(ConnectionLost):
        await task
    assert caller.sent == 2
    assert len(caller.wires.made) == 1


async def test_a_connection_that_is_kept_keeps_nothing_of_its_answer():
    caller = Caller()
    response = await caller.ask(HELLO)
    assert not gc.get_referrers(response)
    assert not caller.wires.last.is_closing()


@pytest.mark.parametrize("said", [HELLO, HELLO[:-1]])
async def test_a_connection_that_is_closed_is_free_without_the_collector_of_cycles(said):
    caller = Caller()
    task = await caller.begin()
    wire = caller.wires.made.pop()
    gc.disable()
    try:
        wire.says(said)
        wire.abort()
        await asyncio.wait([task])
        connection = weakref.ref(wire.connection)
        del task, wire
        await asyncio.sleep(0)
        assert connection() is None
    finally:
        gc.enable()


async def test_each_origin_has_connections_of_its_own():
    caller = Caller()
    for url in (
        "http://a.example/1",
        "http://a.example/2",
        "https://a.example/",
        "http://a.example:81",
    ):
        task = await caller.begin(url=url)
        caller.wires.last.says(HELLO)
        await task
    assert caller.wires.dialled == ["http://a.example", "https://a.example", "http://a.example:81"]


async def test_who_asks_for_the_last_answer_gets_a_connection_that_is_closed():
    caller = Caller()
    task = await caller.begin(headers={"Connection": "close"})
    caller.wires.last.says(HELLO)
    assert (await task).status == 200
    assert caller.wires.last.is_closing()
