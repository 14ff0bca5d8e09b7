"""Two replicas behind a real load balancer are restarted one by one: nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Door
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.envoy import Balancer, running_envoy
from tests.support.grpc_door import GrpcDoor
from tests.support.replicas import HELD, PATIENCE, Providers, Running
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.signals import Signal

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

STREAMS = 500  # open at a time, half of them through each door
PER_CLIENT = 50  # a client of REST has no more than 100 connections
STEADY = 4  # callers at each door who never pause
NOTICE = 4.0  # seconds: many times what the balancer needs
SHARE = 40  # calls by which a share is told


@pytest.fixture(params=["up", "pod"])
def replicas(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> Iterator[tuple[Running, Running]]:
    """Two replicas that are not started yet: each one process, or the two of a pod."""
    first, second = (
        Running(request.param, name, upstream, tmp_path, NOTICE) for name in ("a", "b")
    )
    yield first, second
    first.kill()
    second.kill()


async def test_a_rolling_restart_under_500_open_streams_breaks_none_and_fails_no_call(
    replicas: tuple[Running, Running], upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    providers = Providers(upstream)
    with running_envoy([it.at for it in replicas], tmp_path) as balancer:
        await asyncio.gather(*(it.start() for it in replicas))
        await _until_healthy(balancer, 2)
        async with _Callers(balancer) as callers:
            await _until_called(replicas, providers)
            await callers.open(STREAMS)
            for replica in replicas:
                open_ = providers.asked(*HELD)
                its_own = open_[replica.path]
                assert its_own > STREAMS / 10, open_  # it is under them that it is to end
                ending = asyncio.create_task(replica.end())
                for door, model in enumerate(HELD):
                    await _until_healthy(balancer, 1, door)
                    providers.let_go(replica.path, model)
                await ending
                await replica.start()
                await _until_healthy(balancer, 2)
                await _takes_its_share(replica, providers)
                await callers.open(its_own)
            for replica in replicas:
                for model in HELD:
                    providers.let_go(replica.path, model)
        assert len(callers.streams) > STREAMS * 1.5
        _check(callers.streams)
        _check(callers.calls)


async def test_a_grpc_channel_that_watches_health_leaves_a_replica_that_gives_notice(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    providers = Providers(upstream)
    replicas = [Running("up", name, upstream, tmp_path, NOTICE) for name in ("a", "b")]
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": "llmbase.v1.ChatCompletionService"},
    }
    both = "ipv4:" + ",".join(f"127.0.0.1:{it.at.grpc}" for it in replicas)
    calls: list[Answer] = []
    try:
        await asyncio.gather(*(it.start() for it in replicas))
        options = [("grpc.service_config", json.dumps(config)), ("grpc.enable_retries", 0)]
        async with GrpcDoor(both, KEY, options) as door:
            async with asyncio.timeout(PATIENCE):
                while not providers.asked("glm-5")[replicas[0].path]:
                    calls.append(await door.ask(hello("zai-org/glm-5")))
            ending = asyncio.create_task(replicas[0].end())
            while not ending.done():
                calls.append(await door.ask(hello("zai-org/glm-5")))
            await ending
    finally:
        for replica in replicas:
            replica.kill()
    _check(calls)


async def _until_healthy(balancer: Balancer, count: int, *doors: int) -> None:
    """Wait until the balancer sends calls to so many replicas, at these doors or at both."""

    async def healthy() -> set[int]:
        found = await asyncio.to_thread(balancer.healthy)
        return {found[door] for door in doors or (0, 1)}

    async with asyncio.timeout(PATIENCE):
        while await healthy() != {count}:  # noqa: ASYNC110 - Envoy tells nobody
            await asyncio.sleep(0.05)


async def _until_called(replicas: tuple[Running, ...], providers: Providers) -> None:
    """Wait until calls come to each: what Envoy tells of is not yet what its workers do."""
    async with asyncio.timeout(PATIENCE):
        while not all(providers.asked("glm-5")[it.path] for it in replicas):  # noqa: ASYNC110 - a thread's
            await asyncio.sleep(0.05)


async def _takes_its_share(replica: Running, providers: Providers) -> None:
    """Wait for as many calls as tell, and see that the replica had its part of them."""
    before = providers.count
    async with asyncio.timeout(PATIENCE):
        while (asked := providers.asked("glm-5", since=before)).total() < SHARE:  # noqa: ASYNC110 - a thread's
            await asyncio.sleep(0.05)
    assert asked[replica.path] > asked.total() / 4, asked


def _check(answers: list[Answer]) -> None:
    assert [it.failure for it in answers if it.failure] == []
    assert {(it.complete, it.text, it.finish) for it in answers} == {(True, "Hello", "stop")}
    assert all(it.usage is not None and not it.usage.estimated for it in answers)


class _Callers:
    """Clients of both doors: some open streams, some call all the time, on kept connections."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._opened: list[asyncio.Task[Answer]] = []
        self._over = False
        self.streams: list[Answer] = []
        self.calls: list[Answer] = []

    async def __aenter__(self) -> _Callers:
        self._doors = contextlib.AsyncExitStack()
        self._steady = [
            asyncio.create_task(self._call(await self._door(number), streamed=number % 4 < 2))
            for number in range(2 * STEADY)
        ]
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._over = True
        if kind is not None:
            for task in (*self._opened, *self._steady):
                task.cancel()
            await asyncio.wait([*self._opened, *self._steady])
        else:
            self.streams = await asyncio.gather(*self._opened)
            await asyncio.gather(*self._steady)
        await self._doors.aclose()

    async def open(self, count: int) -> None:
        """Open streams, half of them through each door; returns when all have begun."""
        begun = [Signal() for _ in range(count)]
        for first in range(0, count, PER_CLIENT):
            number = first // PER_CLIENT
            door, model = await self._door(number), ("test/one", "test/plain")[number % 2]
            for seen in begun[first : first + PER_CLIENT]:
                ask = door.ask(hello(model, stream=True), first=seen, timeout=3 * PATIENCE)
                self._opened.append(asyncio.create_task(ask))
        for seen in begun:
            await seen.wait(PATIENCE)

    async def _door(self, number: int) -> Door:
        door: Door = RestDoor(self._balancer.http, KEY)
        if number % 2:
            door = GrpcDoor(self._balancer.grpc, KEY)
        return await self._doors.enter_async_context(door)

    async def _call(self, door: Door, *, streamed: bool) -> None:
        body = hello("zai-org/glm-5", stream=streamed)
        while not self._over:
            self.calls.append(await door.ask(body, timeout=PATIENCE))
            await asyncio.sleep(0.02)
