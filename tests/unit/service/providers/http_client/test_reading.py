"""What a reader is given, when, and what a provider has to wait for."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.service.providers.http_client.wires import CHUNKED, HELLO, OK, Caller, whole
from tests.unit.virtual_time import run

MUCH = 256 * 2**10


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


END = chunk(b"")


async def begun(*pieces):
    caller = Caller()
    response = await caller.ask(CHUNKED, *pieces)
    return caller, caller.wires.last, response


async def test_a_read_brings_all_that_has_arrived():
    _, wire, response = await begun(chunk(b"a") + chunk(b"b"), chunk(b"c"))
    assert await response.read() == b"abc"
    wire.says(chunk(b"d"))
    assert await response.read() == b"d"
    wire.says(chunk(b"e") + END)
    assert await response.read() == b"e"
    assert await response.read() == await response.read() == b""
    assert response.clean


@pytest.mark.parametrize("body", [b"hello", b""])
async def test_a_body_that_came_with_its_head_is_whole(body):
    head = OK + b"Content-Length: %d\r\n\r\n" % len(body)
    assert (await Caller().ask(head + body)).whole == body


async def test_a_body_of_which_more_comes_is_not_whole():
    _, wire, response = await begun(chunk(b"a"))
    assert response.whole is None
    wire.says(END)
    assert response.whole is None


async def test_what_is_there_already_is_not_waited_for():
    _, _, response = await begun(chunk(b"a") + END)
    for expected in (b"a", b""):
        with pytest.raises(StopIteration) as read:
            response.read().send(None)
        assert read.value.value == expected


@pytest.mark.parametrize("way", ["a piece", "the end", "hangs_up", "breaks", "close", "garbage"])
async def test_a_reader_is_woken_by(way):
    _, wire, response = await begun()
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    if way == "a piece":
        wire.says(chunk(b"a"))
    elif way == "the end":
        wire.says(END)
    elif way == "garbage":
        wire.says(b"what is this")
    elif way == "close":
        response.close()
    else:
        getattr(wire, way)()
    async with asyncio.timeout(5):
        assert await reading == (b"a" if way == "a piece" else b"")
    assert response.clean == (way in ("a piece", "the end"))


async def test_a_reader_that_is_cancelled_loses_nothing():
    _, wire, response = await begun()
    reading = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    wire.says(chunk(b"a"))  # it is woken, and cancelled before it runs
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not wire.is_closing()
    wire.says(chunk(b"b") + END)
    assert await whole(response) == (b"ab", True)


async def test_a_provider_waits_for_a_reader_who_has_much_to_read():
    _, wire, response = await begun(chunk(b"x" * MUCH))
    assert not wire.paused
    wire.says(chunk(b"y"))
    assert wire.paused
    assert len(await response.read()) == MUCH + 1
    assert not wire.paused
    wire.says(chunk(b"z") + END)
    assert await response.read() == b"z"


async def test_the_end_of_a_large_answer_leaves_a_connection_that_is_read():
    caller = Caller()
    large = OK + b"Content-Length: %d\r\n\r\n" % (2 * MUCH)
    response = await caller.ask(large + b"x" * (MUCH + 1))
    wire = caller.wires.last
    assert wire.paused
    assert len(await response.read()) == MUCH + 1
    wire.says(b"x" * (MUCH - 1))
    assert response.ended
    assert not wire.paused
    again = await caller.ask(HELLO)
    assert await whole(again) == (b"hello", True)
    assert len((await whole(response))[0]) == MUCH - 1


async def test_an_end_that_comes_in_spite_of_a_pause_leaves_a_connection_that_is_read():
    _, wire, response = await begun(chunk(b"x" * MUCH), chunk(b"y"))
    assert wire.paused
    wire.connection.data_received(END)
    assert response.ended
    assert not wire.paused


async def test_an_answer_that_is_closed_closes_its_connection_at_once():
    _, wire, response = await begun(chunk(b"a"))
    response.close()
    assert wire.is_closing()
    assert await whole(response) == (b"", False)
    response.close()


async def test_an_answer_that_is_closed_when_it_is_over_leaves_its_connection():
    caller, wire, response = await begun(chunk(b"a") + END)
    response.close()
    response.linger()
    assert not wire.is_closing()
    await caller.ask(HELLO)
    assert len(caller.wires.made) == 1


async def test_an_answer_that_is_over_is_not_kept_by_its_connection():
    caller = Caller()
    first = await caller.ask(HELLO)
    second = await caller.ask(OK + b"Content-Length: 9\r\n\r\nhe")
    first.close()
    first.linger()
    caller.wires.last.says(b"llo")
    assert not caller.wires.last.is_closing()
    assert await second.read() == b"hello"


def test_the_end_of_an_answer_is_read_for_a_second_so_that_its_connection_is_kept():
    async def main():
        caller, wire, response = await begun(chunk(b"a"))
        response.linger()
        await asyncio.sleep(0.9)
        wire.says(chunk(b"b" * 2 * MUCH), END)
        assert not wire.paused
        await asyncio.sleep(10)
        assert not wire.is_closing()
        await caller.ask(HELLO)
        assert len(caller.wires.made) == 1
        assert await whole(response) == (b"", True)

    run(main())


def test_an_answer_that_does_not_end_is_left_after_a_second():
    async def main():
        _, wire, response = await begun(chunk(b"x" * MUCH), chunk(b"y"))
        assert wire.paused
        response.linger()
        assert not wire.paused
        await asyncio.sleep(10)
        assert wire.closed_at == 1

    run(main())


def test_closing_waits_for_what_lingers_and_closes_everything():
    async def main():
        caller = Caller()
        (await caller.ask(CHUNKED)).linger()
        idle = await caller.begin()
        caller.wires.last.says(HELLO)
        await idle
        await caller.ask(CHUNKED)
        await caller.client.close()
        assert [wire.closed_at for wire in caller.wires.made] == [1, 1]
        assert caller.wires.closed

    run(main())


def test_closing_does_not_wait_when_what_lingers_has_ended():
    async def main():
        caller, wire, response = await begun()
        response.linger()
        asyncio.get_running_loop().call_later(0.25, wire.says, END)
        await caller.client.close()
        assert wire.closed_at == 0.25

    run(main())


def test_all_who_close_wait_for_what_lingers():
    async def main():
        caller = Caller()
        (await caller.ask(CHUNKED)).linger()
        await asyncio.gather(caller.client.close(), caller.client.close())
        assert caller.wires.last.closed_at == 1

    run(main())
