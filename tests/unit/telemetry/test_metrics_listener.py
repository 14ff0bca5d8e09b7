"""The page of metrics, over HTTP."""

from __future__ import annotations

import aiohttp
import pytest

from telemetry.metrics import IGNORED_PARAMETERS, Metrics, count_ignored
from telemetry.metrics_listener import listen
from tests.support.metrics_page import counted


async def test_the_page_is_where_prometheus_looks_for_it_and_nothing_else_is() -> None:
    metrics = Metrics({"parameter": ["n"]})
    listener = await listen(metrics, "127.0.0.1:0")
    try:
        count_ignored(metrics, ["n"])
        async with aiohttp.ClientSession(f"http://{listener.address}") as session:
            async with session.get("/metrics") as answer:
                assert answer.status == 200
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                page = await answer.read()
            async with session.get("/") as answer:
                assert answer.status == 404
    finally:
        await listener.close()
    assert counted(page, IGNORED_PARAMETERS.name) == {("n",): 1}


@pytest.mark.parametrize("address", ["127.0.0.1:65536", "192.0.2.1:0"])
async def test_an_address_that_cannot_be_had_is_named(address: str) -> None:
    with pytest.raises(OSError) as caught:
        await listen(Metrics({}), address)
    assert caught.value.filename == address


async def test_an_address_in_use_is_named() -> None:
    listener = await listen(Metrics({}), "127.0.0.1:0")
    try:
        with pytest.raises(OSError) as caught:
            await listen(Metrics({}), listener.address)
        assert caught.value.filename == listener.address
    finally:
        await listener.close()
