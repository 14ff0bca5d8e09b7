"""Names of a caller's choice: looked up without holding up anything else."""

import asyncio
import socket
import threading

import pytest

from service.providers import name_lookup
from service.providers.name_lookup import NameLookup


async def test_a_name_is_resolved_to_addresses_with_the_port():
    names = NameLookup(5)
    found = await names.resolve("localhost", 443)
    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    assert found
    assert {(one["hostname"], one["port"]) for one in found} == {("localhost", 443)}
    await names.close()


@pytest.mark.parametrize("name", ["0x7f.1", "0177.0.0.1", "127.1", "2130706433", "0x7f000001"])
async def test_the_old_ways_to_write_an_address_are_resolved_to_it(name):
    names = NameLookup(5)
    assert [one["host"] for one in await names.resolve(name, 443)] == ["127.0.0.1"]
    await names.close()


async def test_a_name_that_does_not_exist_is_an_oserror():
    names = NameLookup(5)
    with pytest.raises((OSError, UnicodeError)):
        await names.resolve("a" * 64 + ".invalid", 443)
    await names.close()


async def test_names_that_hang_are_given_up_and_hold_no_thread_of_the_loop(monkeypatch):
    release = threading.Event()
    began = []

    def hangs(host, port, **_):
        began.append(threading.current_thread().name)
        release.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(name_lookup.socket, "getaddrinfo", hangs)
    names = NameLookup(0.05)
    try:
        slow = [asyncio.ensure_future(names.resolve(f"slow{n}.test", 443)) for n in range(50)]
        results = await asyncio.gather(*slow, return_exceptions=True)
        assert all(isinstance(result, TimeoutError) for result in results)
        # The loop's own threads are free, and what had not begun never will.
        assert await asyncio.to_thread(lambda: "free") == "free"
        assert 0 < len(began) <= 8
        assert all(name.startswith("names") for name in began)
    finally:
        release.set()
        await names.close()
    assert len(began) <= 8
