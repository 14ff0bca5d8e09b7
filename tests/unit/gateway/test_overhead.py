"""What the door says that a chat took of it is not what the others of its turn took."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import gateway.app
from gateway.chat_completions import ChatCompletions
from gateway.transcoding.request import request_from_json
from telemetry.metrics import HTTP_OVERHEAD, Metrics
from tests.unit.gateway.conftest import Open

MANY = 20


async def test_a_chat_is_not_said_to_take_what_others_took(
    open_gateway: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Metrics] = []
    now = 0.0

    def slow(body: bytes) -> Any:
        nonlocal now
        now += 1.0
        return request_from_json(body)

    def timed(stub: Any, bodies: Any, drain: Any, keepalive: float, metrics: Metrics) -> Any:
        told.append(metrics)
        return ChatCompletions(stub, bodies, drain, keepalive, metrics, clock=lambda: now)

    monkeypatch.setattr(gateway.app, "ChatCompletions", timed)
    monkeypatch.setattr("gateway.chat_completions.request_from_json", slow)
    door = await open_gateway()
    await asyncio.gather(*(door.ask() for _ in range(MANY)))
    taken = told[0].of(HTTP_OVERHEAD, "form")[("whole",)]
    before = taken.number
    await asyncio.gather(*(door.ask() for _ in range(MANY)))
    assert taken.number - before == MANY  # a second each
