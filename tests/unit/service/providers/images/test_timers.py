"""How long images and the names of their servers are waited for: at full length in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from service.config import ImagesConfig
from service.providers import name_lookup
from service.providers.images import ImageFetcher
from service.providers.name_lookup import NameLookup
from tests.unit.service.providers.images.image_host import PNG, Names, asks, refusal
from tests.unit.virtual_time import in_virtual_time, now

URL = "https://images.test/a.png"


class _Response:
    """Is there after `head` seconds; its body comes in pieces, one every second."""

    content_length = None

    def __init__(self, head, pieces=(PNG,), location=None):
        self._head = head
        self._pieces = pieces
        self.status = 302 if location else 200
        self.headers = {"Location": location} if location else {}
        self.content = self

    async def __aenter__(self):
        await asyncio.sleep(self._head)
        return self

    async def __aexit__(self, *_):
        pass

    async def iter_any(self):
        for piece in self._pieces:
            await asyncio.sleep(1)
            yield piece


class _Session:
    """Answers every request in the same way; `asked` says when which came."""

    def __init__(self, response):
        self._response = response
        self.asked = []

    def get(self, url, *, allow_redirects):
        assert not allow_redirects
        self.asked.append(now())
        return self._response

    async def close(self):
        pass


@contextlib.asynccontextmanager
async def fetching(response, **config):
    fetcher = ImageFetcher(ImagesConfig(**config), resolver=Names())
    await fetcher._session.close()
    fetcher._session = _Session(response)
    try:
        yield fetcher
    finally:
        await fetcher.close()


@pytest.mark.parametrize(
    "response",
    [
        _Response(10**6),
        _Response(0, [PNG, *[b"x"] * 1000]),
        _Response(3, location=URL),
        _Response(3, location="https://elsewhere.test/"),
    ],
    ids=["silence", "drips", "a redirect", "a redirect elsewhere"],
)
@in_virtual_time
async def test_an_image_has_ten_seconds_for_all_that_its_fetch_does(response):
    async with fetching(response) as fetcher:
        says = (await refusal(fetcher, URL))[1]
        assert (now(), says) == (10, "could not be fetched within 10 s")


@in_virtual_time
async def test_the_limit_is_as_configured_and_an_image_just_before_it_is_taken():
    async with fetching(_Response(28), timeout=30) as fetcher:
        await fetcher.inline(asks(URL))
        assert now() == 29
    async with fetching(_Response(29.5), timeout=30) as fetcher:
        says = (await refusal(fetcher, URL))[1]
        assert (now(), says) == (59, "could not be fetched within 30 s")


@in_virtual_time
async def test_waiting_for_a_turn_counts():
    async with fetching(_Response(3)) as fetcher:  # four seconds each
        says = (await refusal(fetcher, *(f"{URL}?{n}" for n in range(24))))[1]
        assert (now(), says) == (10, "could not be fetched within 10 s")
        assert fetcher._session.asked == [0.0] * 8 + [4.0] * 8 + [8.0] * 8


@pytest.fixture
def hanging(monkeypatch):
    """Names whose servers do not answer as long as the test runs."""
    release = threading.Event()
    monkeypatch.setattr(name_lookup, "_look_up", lambda *_: release.wait() and [])
    yield
    release.set()


@in_virtual_time
async def test_a_name_is_waited_for_as_long_as_is_said(hanging):
    names = NameLookup(7)
    try:
        with pytest.raises(TimeoutError):
            await names.resolve("slow.test", 443)
        assert now() == 7
    finally:
        await names.close()


@in_virtual_time
async def test_a_name_that_hangs_is_given_up_with_the_fetch_that_asked_first(hanging):
    # A look-up is shared by all who want the name, and outlives whoever began it.
    fetcher = ImageFetcher(ImagesConfig())
    try:
        first = asyncio.create_task(refusal(fetcher, URL))
        await asyncio.sleep(4)
        await refusal(fetcher, URL)
        assert now() == 10
        await first
    finally:
        await fetcher.close()
