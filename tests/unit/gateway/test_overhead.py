"""What the door says that a chat took of it is not what the others of its turn took."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

import gateway.app
import gateway.chat_completions as chats
from gateway.exchange import Exchange
from gateway.whole_answer import WholeAnswer
from tests.unit.gateway.conftest import Open

MANY = 20


async def test_a_chat_is_not_said_to_take_what_others_took(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanges: list[Exchange] = []
    now = 0.0

    class Seen(WholeAnswer):
        def __init__(self, exchange: Exchange, *args: Any) -> None:
            super().__init__(exchange, *args)
            exchanges.append(exchange)

    read = chats.request_from_json

    def slow(body: bytes) -> Any:
        nonlocal now
        now += 1.0
        return read(body)

    timed = partial(chats.ChatCompletions, clock=lambda: now)
    monkeypatch.setattr(gateway.app, "ChatCompletions", timed)
    monkeypatch.setattr(chats, "WholeAnswer", Seen)
    monkeypatch.setattr(chats, "request_from_json", slow)
    door = await open_gateway()
    await asyncio.gather(*(door.ask() for _ in range(MANY)))
    exchanges.clear()
    await asyncio.gather(*(door.ask() for _ in range(MANY)))
    assert [it.own_seconds for it in exchanges] == [1.0] * MANY
