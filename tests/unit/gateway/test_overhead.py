"""What the door says that a chat took of it is not what the others of its turn took."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import gateway.chat_completions as chats
from gateway.exchange import Work
from tests.unit.gateway.scripted_service import Gateway

MANY = 20


async def test_a_chat_is_not_said_to_take_what_others_took(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: list[Work] = []
    now = 0.0

    class Seen(Work):
        def __init__(self, clock: Any) -> None:
            super().__init__(lambda: now)
            works.append(self)

    read = chats.request_from_json

    def slow(body: bytes) -> Any:
        nonlocal now
        now += 1.0
        return read(body)

    monkeypatch.setattr(chats, "Work", Seen)
    monkeypatch.setattr(chats, "request_from_json", slow)
    await asyncio.gather(*(gateway.ask() for _ in range(MANY)))
    works.clear()
    await asyncio.gather(*(gateway.ask() for _ in range(MANY)))
    assert [it.seconds for it in works] == [1.0] * MANY
