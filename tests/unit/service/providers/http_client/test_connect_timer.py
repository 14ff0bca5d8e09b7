"""How long a connection may take to be made, at full length, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from service.providers.http_client.connection import Connection
from service.providers.http_client.dialing import Dialer
from service.providers.http_client.names import Names
from service.providers.http_client.request_head import Origin, origin
from tests.unit.virtual_time import in_virtual_time, now

HOST: Origin = origin("https://provider.test")


def _never() -> Connection:
    raise AssertionError("nothing is connected")


@in_virtual_time
async def test_a_connection_has_as_long_as_is_said_whatever_it_waits_for(monkeypatch):
    async def look_up(names: Names, host: str, port: int) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Names, "look_up", look_up)
    with pytest.raises(TimeoutError):
        await Dialer(7.0).dial(HOST, _never)
    assert now() == 7
