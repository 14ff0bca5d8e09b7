"""SIGTERM under many open streams: not one of them breaks."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import pytest

from tests.conftest import Door
from tests.support import config, deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import says, stream
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

STREAMS = 500  # half of them through each door
PER_CLIENT = 50  # a client of REST has no more than 100 connections
ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
PATIENCE = 120.0  # seconds that a busy machine may take for all of it


async def test_five_hundred_open_streams_end_whole(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    go_on = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    settings = config.standard(upstream, drain="100s")

    with deployments.sidecar(upstream, tmp_path, settings) as deployment:
        async with contextlib.AsyncExitStack() as doors:
            asking, begun = [], [Signal() for _ in range(STREAMS)]
            for first in range(0, STREAMS, PER_CLIENT):
                door: Door = RestDoor(deployment.http, KEY)
                if first % (2 * PER_CLIENT) == 0:
                    door = GrpcDoor(deployment.grpc, KEY)
                await doors.enter_async_context(door)
                for seen in begun[first : first + PER_CLIENT]:
                    ask = door.ask(hello(stream=True), first=seen, timeout=PATIENCE)
                    asking.append(asyncio.create_task(ask))
            for seen in begun:
                await seen.wait(PATIENCE)

            for process in deployment.processes:
                process.send(signal.SIGTERM)
            await _until_refused(deployment)
            assert not any(task.done() for task in asking)
            go_on.set()
            answers = await asyncio.gather(*asking)

        assert [answer.failure for answer in answers if answer.failure] == []
        assert {(it.complete, it.text, it.finish) for it in answers} == {(True, "Hello", "stop")}
        assert all(it.usage is not None and not it.usage.estimated for it in answers)
        for process in deployment.processes:
            assert await asyncio.to_thread(process.wait) == 0
    assert len(upstream.requests) == STREAMS


async def _until_refused(deployment: deployments.Deployment) -> None:
    """Ask both doors until they say that they are going down."""
    doors: list[Door] = [RestDoor(deployment.http, KEY), GrpcDoor(deployment.grpc, KEY)]
    for door in doors:
        async with door, asyncio.timeout(PATIENCE):
            while True:
                answer = await door.ask(hello("no/such"))
                if answer.code == "service_unavailable":
                    break
