"""Images whose servers mean harm: what a fetch may weigh, how long it takes, and how it ends."""

import asyncio
import gzip
import socket

import pytest

from service.errors import DeadlineExceeded
from service.providers.call import Call
from tests.unit.service.providers.images.image_host import (
    OUTSIDE,
    PNG,
    asks,
    data_url,
    images,
    refusal,
    reply,
)


async def test_an_image_of_the_largest_size_is_taken_and_one_byte_more_is_not(host, fetcher):
    host.answers["/more"] = reply(PNG + b"!")
    limited = fetcher(max_bytes=len(PNG))
    assert images(await limited.inline(asks(host.url()))) == [data_url()]
    says = (await refusal(limited, host.url("/more")))[1]
    assert says == f"must be an image of at most {len(PNG)} bytes"


async def test_a_length_that_is_too_large_is_refused_before_the_body(host, fetcher):
    async def only_the_head(writer):
        writer.write(reply(b"", length=10**9))
        await stall(writer)

    host.answers["/x"] = only_the_head
    says = (await refusal(fetcher(max_bytes=1000, timeout=60), host.url("/x")))[1]
    assert says == "must be an image of at most 1000 bytes"


async def test_a_body_that_does_not_end_is_given_up_at_the_largest_size(host, fetcher):
    sent = 0

    async def endless(writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n\x89PNG\r\n\x1a\n")
        while True:
            writer.write(b"\0" * 65536)
            await writer.drain()
            sent += 65536

    host.answers["/x"] = endless
    says = (await refusal(fetcher(max_bytes=100_000, timeout=60), host.url("/x")))[1]
    assert says == "must be an image of at most 100000 bytes"
    assert sent < 20 * 2**20  # what fits into sockets' and TLS's buffers, and not a stream


@pytest.mark.parametrize("lie", [10**6, len(PNG) + 1])
async def test_a_body_shorter_than_its_length_is_no_image(host, fetcher, lie):
    async def cut(writer):
        writer.write(reply(PNG, length=lie))
        await writer.drain()

    host.answers["/x"] = cut
    assert (await refusal(fetcher(), host.url("/x")))[1] == "could not be fetched"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"\0" * 100,
    ],
)
async def test_an_answer_that_is_no_http_is_no_crash(host, fetcher, head):
    async def answer(writer):
        writer.write(head)
        await writer.drain()

    host.answers["/x"] = answer
    assert (await refusal(fetcher(), host.url("/x")))[1] == "could not be fetched"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_a_compressed_bomb_is_not_decompressed(host, fetcher, coding):
    bomb = gzip.compress(PNG + b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    host.answers["/x"] = reply(bomb, f"Content-Encoding: {coding}")
    says = (await refusal(fetcher(max_bytes=100_000), host.url("/x")))[1]
    assert says == "must be a PNG, JPEG, GIF or WebP image"
    assert "Accept-Encoding: identity" in host.heads[0]


async def test_the_images_of_one_request_have_a_limit_together(host, fetcher):
    for n in range(5):
        host.answers[f"/{n}"] = reply(PNG)
    limited = fetcher(max_bytes=len(PNG))
    four = await limited.inline(asks(*(host.url(f"/{n}") for n in range(4))))
    assert images(four) == [data_url()] * 4
    says = (await refusal(limited, *(host.url(f"/{n}") for n in range(5))))[1]
    assert says == f"is one of images of more than {4 * len(PNG)} bytes together"


async def test_a_request_with_more_than_a_hundred_images_to_fetch_fetches_none(host, fetcher):
    many = [host.url(f"/{n}") for n in range(101)]
    path, says = await refusal(fetcher(), *many)
    assert (path, says) == (
        "messages[0].content[0].image_url.url",
        "is one of more than 100 images that would have to be fetched",
    )
    assert host.connections == 0


async def stall(_):
    await asyncio.Event().wait()


async def drip(writer):
    writer.write(reply(b"", length=10**6))
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless_head(writer):
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("slow", [stall, drip, endless_head])
async def test_a_slow_server_is_given_up(host, fetcher, slow):
    host.answers["/x"] = slow
    says = (await refusal(fetcher(timeout=0.2), host.url("/x")))[1]
    assert says == "could not be fetched within 0.2 s"


async def test_a_server_that_accepts_and_says_nothing_is_given_up(fetcher):
    with socket.create_server((OUTSIDE, 0)) as silent:
        port = silent.getsockname()[1]
        says = (await refusal(fetcher(timeout=0.2), f"https://images.test:{port}/"))[1]
    assert says == "could not be fetched within 0.2 s"


async def test_eight_images_of_a_request_are_fetched_at_a_time(host, fetcher):
    now, most, eight = 0, 0, asyncio.Event()

    async def counted(writer):
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 8:
            eight.set()
        await eight.wait()
        await asyncio.sleep(0.02)
        now -= 1
        writer.write(reply(PNG, "Connection: close"))
        await writer.drain()

    host.answers = {f"/{n}": counted for n in range(24)}
    inlined = await fetcher().inline(asks(*(host.url(f"/{n}") for n in range(24))))
    assert images(inlined) == [data_url()] * 24
    assert most == 8


async def test_all_requests_together_have_a_limit_of_connections(host, fetcher):
    release, full = asyncio.Event(), asyncio.Event()
    now, most = 0, 0

    async def held(writer):
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 32:
            full.set()
        await release.wait()
        now -= 1
        writer.write(reply(PNG, "Connection: close"))
        await writer.drain()

    host.answers = {f"/{n}": held for n in range(80)}
    one = fetcher(timeout=30)
    requests = [asks(*(host.url(f"/{8 * m + n}") for n in range(8))) for m in range(10)]
    going_on = [asyncio.ensure_future(one.inline(request)) for request in requests]
    await full.wait()
    await asyncio.sleep(0.05)  # a thirty-third would come now
    release.set()
    for inlined in await asyncio.gather(*going_on):
        assert images(inlined) == [data_url()] * 8
    assert most == 32


async def test_the_first_that_fails_ends_the_others_and_leaves_no_trace_on_the_caller(
    host, fetcher
):
    left = asyncio.Event()

    async def waits(writer):
        try:
            await writer.wait_closed()  # by the other side
        finally:
            left.set()

    host.answers["/slow"] = waits
    host.answers["/gone"] = reply(status=404)
    path, says = await refusal(fetcher(timeout=60), host.url("/slow"), host.url("/gone"))
    assert path == "messages[0].content[1].image_url.url"
    assert says == "could not be fetched: its server says 404"
    assert asyncio.current_task().cancelling() == 0
    async with asyncio.timeout(5):
        await left.wait()


async def test_many_failures_at_once_are_one_refusal(host, fetcher):
    host.answers |= {f"/{n}": reply(status=500) for n in range(8)}
    says = (await refusal(fetcher(), *(host.url(f"/{n}") for n in range(8))))[1]
    assert says == "could not be fetched: its server says 500"


async def test_the_calls_deadline_ends_a_fetch(host, fetcher):
    host.answers["/slow"] = stall
    call = Call("r", seconds=0.1)
    with pytest.raises(DeadlineExceeded), call.wait:
        await fetcher(timeout=60).inline(asks(host.url("/slow"), host.url("/slow?")))
    call.close()


async def test_a_cancellation_stays_one_and_ends_every_fetch(host, fetcher):
    asked = asyncio.Event()

    async def stall_once_asked(writer):
        asked.set()
        await stall(writer)

    host.answers["/slow"] = stall_once_asked
    one = fetcher(timeout=60)
    going_on = asyncio.ensure_future(one.inline(asks(host.url("/slow"))))
    await asked.wait()
    going_on.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going_on
    host.answers["/slow"] = reply()
    assert images(await one.inline(asks(host.url("/slow")))) == [data_url()]
