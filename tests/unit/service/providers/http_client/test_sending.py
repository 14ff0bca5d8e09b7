"""How a request goes out, and what becomes of it when the answer, or nobody, comes early."""

from __future__ import annotations

import asyncio

import pytest

from service.providers.http_client.errors import ClientClosed, ConnectionLost, RequestRefused
from tests.unit.service.providers.http_client.wires import CHUNKED, HELLO, Caller, whole

LARGE = bytes(range(256)) * 2**15  # 8 MB
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"


async def test_a_small_request_goes_out_in_one_write():
    caller = Caller()
    response = await caller.ask(HELLO, body=b"x" * 60_000)
    assert len(caller.wires.last.writes) == 1
    head, _, body = bytes(caller.wires.last.sent).partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: acme.example",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Content-Length: 60000",
    ]
    assert body == b"x" * 60_000
    assert response.status == 200


async def said(caller, url, headers, body=b"{}"):
    """Return what goes out for a request of this caller's."""
    task = await caller.begin(body, headers, url)
    wire = next(it for it in caller.wires.made if it.sent)
    sent = bytes(wire.sent)
    wire.sent.clear()
    wire.says(HELLO)
    await task
    return sent


async def test_every_request_is_sent_as_it_would_be_alone():
    caller, one = Caller(), "http://acme.example"
    changing = {"X-One": "1"}
    for url, headers, body in [
        (f"{one}/v1", {"X-One": "1"}, b"{}"),
        (f"{one}/v1", {"X-One": "1"}, b"{ }"),
        (f"{one}/v2", {"X-One": "1"}, b"{ }"),
        (f"{one}/v2", {"X-One": "2"}, b"{ }"),
        (f"{one}/v2", {"X-One": "2", "x-one": "3"}, b"{ }"),
        (f"{one}/v2", {"x-one": "3", "X-One": "2"}, b"{ }"),
        (f"{one}/v2", {}, b"{ }"),
        ("http://b.example/v2", {}, b"{ }"),
        (f"{one}/v1", changing, b"{}"),
    ]:
        assert await said(caller, url, headers, body) == await said(Caller(), url, headers, body)
    with pytest.raises(RequestRefused):
        await (await caller.begin(url=f"{one}/v1", headers={"X-One": "\n"}))
    changing["X-One"] = "4"
    assert b"X-One: 4\r\n" in await said(caller, f"{one}/v1", changing)


async def test_a_large_body_is_not_copied():
    caller = Caller()
    response = await caller.ask(HELLO, body=LARGE)
    head, *pieces = caller.wires.last.writes
    assert head.endswith(b"Content-Length: 8388608\r\n\r\n")
    assert all(isinstance(piece, memoryview) and piece.obj is LARGE for piece in pieces)
    assert b"".join(pieces) == LARGE
    assert await whole(response) == (b"hello", True)
    await caller.ask(HELLO)
    assert len(caller.wires.made) == 1


async def clogged(body=LARGE):
    """A request of which no more than a piece has gone out."""
    caller = Caller()
    await caller.ask(HELLO)
    wire = caller.wires.last
    wire.clogged = True
    wire.writes.clear()
    return caller, wire, await caller.begin(body)


async def test_a_large_body_waits_for_a_provider_that_takes_it_slowly():
    _, wire, task = await clogged()
    for writes in range(1, 9):
        assert len(wire.writes) == writes
        wire.unclog(again=True)
    wire.unclog()
    assert b"".join(wire.writes[1:]) == LARGE
    wire.says(HELLO)
    assert await whole(await task) == (b"hello", True)


async def test_an_answer_that_comes_before_the_body_is_sent_is_read_and_its_connection_closed():
    _, wire, task = await clogged()
    wire.says(REFUSED)
    response = await task
    assert response.status == 413
    assert await whole(response) == (b"no", True)
    assert wire.is_closing()
    assert len(wire.writes) == 1


async def test_an_answer_to_a_request_that_has_not_left_us_closes_its_connection():
    _, wire, task = await clogged(body=b"{}")
    wire.says(REFUSED)
    assert await whole(await task) == (b"no", True)
    assert wire.is_closing()


async def test_a_body_goes_on_being_sent_while_its_answer_is_read():
    _, wire, task = await clogged()
    wire.says(CHUNKED + b"1\r\na\r\n")
    response = await task
    assert await response.read() == b"a"
    wire.unclog()
    assert b"".join(wire.writes[1:]) == LARGE
    wire.says(b"1\r\nb\r\n0\r\n\r\n")
    assert await whole(response) == (b"b", True)
    assert not wire.is_closing()


async def test_a_provider_that_hangs_up_while_it_is_sent_a_body_is_not_sent_more():
    _, wire, task = await clogged()
    wire.hangs_up()
    with pytest.raises(ConnectionLost):
        await task
    wire.unclog()
    assert len(wire.writes) == 1


async def test_a_connection_that_cannot_be_written_to_is_closed(monkeypatch):
    caller = Caller()
    await caller.ask(HELLO)
    wire = caller.wires.last

    def refuse(data):
        raise OSError

    monkeypatch.setattr(wire, "write", refuse)
    with pytest.raises(OSError):
        await (await caller.begin())
    assert wire.is_closing()


async def test_who_leaves_while_a_body_is_sent_closes_the_connection_at_once():
    _, wire, task = await clogged()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.is_closing()


async def test_who_leaves_before_the_answer_begins_closes_the_connection_at_once():
    caller = Caller()
    task = await caller.begin()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caller.wires.last.is_closing()


@pytest.mark.parametrize("said", [CHUNKED, HELLO[:-1]])
async def test_who_leaves_in_the_moment_the_answer_begins_closes_the_connection(said):
    caller = Caller()
    task = await caller.begin()
    caller.wires.last.says(said)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caller.wires.last.is_closing()


@pytest.mark.parametrize("said", [CHUNKED, HELLO])
async def test_who_has_left_in_the_moment_before_the_answer_begins_closes_the_connection(said):
    caller = Caller()
    task = await caller.begin()
    task.cancel()
    caller.wires.last.says(said)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caller.wires.last.is_closing()


async def test_who_leaves_when_the_answer_is_there_does_not_touch_who_has_the_connection_now():
    caller = Caller()
    first = await caller.begin()
    wire = caller.wires.last

    async def ask_next():
        wire.says(HELLO)  # the first is told, and before it runs the connection is taken
        first.cancel()
        return await caller.client.post("http://acme.example/", {}, b"", caller)

    second = asyncio.create_task(ask_next())
    with pytest.raises(asyncio.CancelledError):
        await first
    assert caller.sent == 2
    assert not wire.is_closing()
    wire.says(HELLO)
    assert await whole(await second) == (b"hello", True)
    assert len(caller.wires.made) == 1


async def test_a_request_is_on_its_way_when_there_is_a_connection_for_it_and_not_before():
    caller = Caller()
    caller.wires.held = asyncio.Event()
    task = await caller.begin()
    assert caller.sent == 0
    caller.wires.held.set()
    await asyncio.sleep(0.001)
    assert caller.sent == 1
    caller.wires.last.says(HELLO)
    await task
    assert caller.sent == 1


@pytest.mark.parametrize(
    ("url", "headers"),
    [("http://acme.example/", {"A": "b\r\nc: d"}), ("http://acme.example/ x", {}), ("acme", {})],
)
async def test_what_cannot_be_sent_is_not_on_its_way(url, headers):
    caller = Caller()
    with pytest.raises(RequestRefused):
        await (await caller.begin(url=url, headers=headers))
    assert caller.sent == 0
    assert not caller.wires.made


async def test_where_there_is_no_connection_nothing_is_on_its_way():
    caller = Caller()
    caller.wires.failure = ConnectionRefusedError()
    with pytest.raises(ConnectionRefusedError):
        await (await caller.begin())
    assert caller.sent == 0


async def test_a_client_that_is_closed_sends_nothing():
    caller = Caller()
    await caller.client.close()
    with pytest.raises(ClientClosed):
        await (await caller.begin())
    assert not caller.wires.made


async def test_a_connection_that_is_there_after_its_client_was_closed_is_closed():
    caller = Caller()
    caller.wires.held = asyncio.Event()
    task = await caller.begin()
    await caller.client.close()
    caller.wires.held.set()
    with pytest.raises(ClientClosed):
        await task
    assert caller.wires.last.is_closing()
    assert caller.sent == 0
