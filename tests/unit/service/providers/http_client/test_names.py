"""Names are looked up once for all who ask, and kept for a minute."""

from __future__ import annotations

import asyncio
import socket

import pytest

from service.providers.http_client.errors import ClientClosed
from service.providers.http_client.names import Names
from tests.unit.virtual_time import run

ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


class Resolver:
    """What the loop is asked, and says a second later."""

    def __init__(self, addresses=ADDRESSES):
        self.asked = []
        self.addresses = addresses

    async def __call__(self, host, port, **kwargs):
        self.asked.append(host)
        await asyncio.sleep(1)
        if self.addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (it, port)) for it in self.addresses]


def looking_up(test, addresses=ADDRESSES):
    async def main():
        resolver = Resolver(addresses)
        asyncio.get_running_loop().getaddrinfo = resolver
        await test(Names(), resolver)

    run(main())


async def first(names):
    return (await names.look_up("acme.example", 443))[0][4][0]


def test_a_name_is_kept_for_a_minute_and_each_time_another_address_comes_first():
    async def test(names, resolver):
        assert [await first(names) for _ in range(4)] == [
            "10.0.0.2",
            "10.0.0.3",
            "10.0.0.1",
            "10.0.0.2",
        ]
        await asyncio.sleep(59)
        await first(names)
        assert len(resolver.asked) == 1
        await asyncio.sleep(2)
        await first(names)
        assert len(resolver.asked) == 2

    looking_up(test)


def test_all_who_ask_at_a_time_share_a_look_up_and_who_leaves_does_not_end_it():
    async def test(names, resolver):
        tasks = [asyncio.create_task(first(names)) for _ in range(10)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert set(found[1:]) == set(ADDRESSES)
        assert len(resolver.asked) == 1

    looking_up(test)


@pytest.mark.parametrize("addresses", [None, []])
def test_a_name_that_is_not_found_is_asked_for_again(addresses):
    async def test(names, resolver):
        for _ in range(2):
            with pytest.raises(OSError):
                await first(names)
        assert len(resolver.asked) == 2

    looking_up(test, addresses)


def test_a_name_that_led_nowhere_is_looked_up_anew():
    async def test(names, resolver):
        await first(names)
        names.forget("acme.example", 443)
        await first(names)
        assert len(resolver.asked) == 2

    looking_up(test)


def test_closing_leaves_what_is_being_looked_up():
    async def test(names, resolver):
        asking = asyncio.create_task(first(names))
        await asyncio.sleep(0.5)
        await names.close()
        with pytest.raises(ClientClosed):
            await asking

    looking_up(test)


def test_who_is_cancelled_while_names_are_closed_is_cancelled():
    async def test(names, resolver):
        asking = asyncio.create_task(first(names))
        await asyncio.sleep(0.5)
        asking.cancel()
        await names.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    looking_up(test)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_is_not_looked_up(address):
    async def test(names, resolver):
        found = await names.look_up(address, 80)
        assert [it[4][:2] for it in found] == [(address, 80)]
        assert not resolver.asked

    looking_up(test)
