"""Callers who read slowly hold their providers back: what they do not read costs little memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.conftest import Door, check_end
from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import says, stream
from tests.support.proto_request import proto_request
from tests.support.rest_door import PATH, RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Request, Script
from tests.support.unread import Flood

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

READERS = 200  # half of them through each door
PER_CLIENT = 50  # a client of REST has no more than 100 connections
ROUNDS = 20  # in which each reader reads a little
MB = 2**20
# Bytes of each stream. One read of the provider brings up to half a megabyte, which is there as
# bytes, as a message and as events for a moment.
MOST_IN_SERVICE = 4 * MB
MOST_IN_GATEWAY = 4 * MB
MOST_IN_PROCESSES = 16 * MB  # of what the provider has said ahead: it has 256 MB to say
MOST_ANSWERED = 512 * MB  # by one provider, so that no answer ends for its size
MOST_MORE = 64 * MB  # of each process, for all streams, while a gigabyte passes through
ROLE, HEL, _, FINISH, *_ = says("Hel", "lo").events()

Read = Callable[[], Awaitable[int]]  # a little more; returns how many bytes it was


async def test_what_two_hundred_callers_do_not_read_stays_with_the_provider(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    floods: list[Flood] = []

    def flood(_: Request) -> Script:
        floods.append(Flood())
        return stream(ROLE, HEL, floods[-1], FINISH)

    upstream.on("one", flood)
    config = configuration.standard(upstream)
    config["providers"]["alpha"]["max_answer_bytes"] = MOST_ANSWERED
    with deployments.sidecar(upstream, tmp_path, config) as deployment:
        before = _memory(deployment)
        async with contextlib.AsyncExitStack() as opened:
            doors = await _doors(opened, deployment)
            readers = [await _open(door) for door in doors for _ in range(PER_CLIENT)]
            assert len(floods) == READERS

            await _until_nothing_moves(floods)
            held = _memory(deployment)
            grown = [now - then for now, then in zip(held, before, strict=True)]
            assert grown[0] < MOST_IN_GATEWAY * READERS / 2, "only half of them come this way"
            assert grown[1] < MOST_IN_SERVICE * READERS
            most_ahead = _most_in_kernel() + MOST_IN_PROCESSES
            assert max(it.size for it in floods) < most_ahead

            taken = [0] * READERS
            for _ in range(ROUNDS):
                for number, read in enumerate(readers):
                    taken[number] += await read()
            assert sum(taken) > 1000 * MB
            await _until_nothing_moves(floods)
            more = [now - then for now, then in zip(_memory(deployment), held, strict=True)]
            assert max(more) < MOST_MORE
            # Which flood is whose is not known: all of them have the same bound.
            assert max(it.size for it in floods) < most_ahead + max(taken)
            assert all(exchange.done.at is None for exchange in upstream.exchanges)
        for exchange in upstream.exchanges:
            await exchange.left.wait(timeout=30)
        check_end(deployment)


def _most_in_kernel() -> int:
    """Return what the kernel may hold of a stream: in two buffers for sending, two for receiving.

    It makes them as large as that where it sees fit: 72 MB in all, where it is a recent one.
    """
    limits = [Path(f"/proc/sys/net/ipv4/tcp_{name}").read_text() for name in ("rmem", "wmem")]
    return 2 * sum(int(it.split()[2]) for it in limits)


async def _until_nothing_moves(floods: list[Flood]) -> None:
    """Return when no provider has been able to write for half a second."""
    sent, still = -1, 0
    async with asyncio.timeout(60):
        while still < 10:
            now = sum(it.sent for it in floods)
            still = still + 1 if now == sent else 0
            sent = now
            await asyncio.sleep(0.05)


async def _doors(opened: contextlib.AsyncExitStack, deployment: Deployment) -> list[Door]:
    doors: list[Door] = []
    for _ in range(READERS // PER_CLIENT // 2):
        doors += [RestDoor(deployment.http, KEY), GrpcDoor(deployment.grpc, KEY)]
    return [await opened.enter_async_context(door) for door in doors]


async def _open(door: Door) -> Read:
    """Open a stream and read its beginning; returns how to go on."""
    body = hello(stream=True)
    if isinstance(door, GrpcDoor):
        call = door.chat.StreamChatCompletion(proto_request(body), metadata=door.metadata())
        await call.read()

        async def message() -> int:
            return int((await call.read()).ByteSize())

        return message
    response = await door.session.post(PATH, json=body)

    async def some() -> int:
        return len(await response.content.read(65_536))

    await some()
    return some


def _memory(deployment: Deployment) -> list[int]:
    """The resident bytes of gateway and service."""
    return [psutil.Process(it.pid).memory_info().rss for it in deployment.processes]
