"""Callers: each asks in a way of its own, some leave, some hurry; all note what they saw."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import aiohttp
import grpc

from tests.chaos.record import Run, Seen
from tests.support.grpc_door import GrpcDoor
from tests.support.rest_door import RestDoor

MODELS = ("chaos/a", "chaos/b", "chaos/hedged")
_AFTER_A_LOSS = 0.1  # seconds between looks whether the process is back
_PATIENCE = 30.0  # seconds: nothing here takes so long


async def call(number: int, seed: str, rest: RestDoor, rpc: GrpcDoor, run: Run) -> None:
    """Make one call, all of whose choices come from the seed and its number."""
    chance = random.Random(f"{seed}:call:{number}")
    seen = Seen(
        f"call-{number:06d}",
        chance.choice(MODELS),
        chance.choice(("rest", "grpc")),
        chance.random() < 0.7,
        time.monotonic(),
    )
    run.calls.append(seen)
    hurry = chance.uniform(0.1, 3.0) if chance.random() < 0.15 else None
    # Some leave before most answers are there, some have to be kept waiting for it.
    leaves = chance.uniform(0.0, chance.choice((0.03, 0.8))) if chance.random() < 0.2 else None
    asking = asyncio.ensure_future(_ask(seen, rest if seen.door == "rest" else rpc, hurry))
    try:
        if leaves is not None:
            await asyncio.wait([asking], timeout=leaves)
            if not asking.done():
                asking.cancel()
        await _settle(asking, seen)
    finally:
        seen.ended = time.monotonic()
    if seen.outcomes == ["lost"]:
        # Who knows that the process is down does not ask all its calls of nobody.
        while run.was_out(now := time.monotonic(), now):  # noqa: ASYNC110
            await asyncio.sleep(_AFTER_A_LOSS)


async def _ask(seen: Seen, door: RestDoor | GrpcDoor, hurry: float | None) -> Any:
    body = {
        "model": seen.model,
        "stream": seen.streamed,
        "messages": [{"role": "user", "content": seen.call}],
    }
    headers = {"x-request-id": seen.call}
    if hurry is None:
        return await door.ask(body, headers=headers, timeout=_PATIENCE)
    if isinstance(door, GrpcDoor):
        return await door.ask(body, headers=headers, timeout=hurry)
    headers["X-Request-Timeout"] = f"{hurry:.3f}"
    return await door.ask(body, headers=headers, timeout=_PATIENCE)


async def _settle(asking: asyncio.Future[Any], seen: Seen) -> None:
    try:
        answer = await asking
    except asyncio.CancelledError:
        seen.outcomes.append("left")
        return
    except (aiohttp.ClientError, ConnectionError, TimeoutError):
        seen.outcomes.append("lost")
        return
    except AssertionError as error:
        # The gRPC door asserts that every status is one of ours; one of gRPC's own is a loss.
        cause = error.args[0] if error.args else None
        if isinstance(cause, grpc.aio.AioRpcError):
            seen.outcomes.append("lost")
        else:
            seen.outcomes.append("answer")
            seen.trouble = f"{type(error).__name__} {str(error)[:200]}"
        return
    seen.text = answer.text or ""
    seen.route = answer.route
    if answer.failure is not None:
        seen.outcomes.append(answer.failure.code or "")
    if answer.complete:
        seen.outcomes.append("answer")
