"""Several workers behind one command, as real processes: who gets what, and who outlives whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import config as configuration
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.metrics_page import counted
from tests.support.openai_wire import says, stream
from tests.support.processes import Process, running
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
PORTS = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
OWN = (("grpc.use_local_subchannel_pool", 1),)  # a connection for each channel
STREAMS = 16  # so many that all of them at one worker is no chance of this world


def settings(upstream: ScriptedUpstream, **server: Any) -> dict[str, Any]:
    return configuration.standard(upstream, **{"drain": "20s"} | server) | {"store": None}


@pytest.fixture
def up(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Deployment]:
    """`llmbase up` with two workers."""
    path = configuration.write(settings(upstream, metrics="127.0.0.1:0"), tmp_path)
    flags = ("--config", str(path), *PORTS, "--workers", "2")
    with running("up", *flags, directory=tmp_path) as process:
        http, _, target, _, metrics = process.wait_until_ready(60)
        yield Deployment(http, target, upstream, (process,), metrics)
        assert process.stop() == 0, process.log
        assert "Traceback" not in process.log
        assert process.out.count("ready ") == 1
        assert ".sock" not in process.out


def children(process: Process) -> set[int]:
    """The processes that it has started."""
    found = set()
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        found |= {int(pid) for pid in (thread / "children").read_text().split()}
    return found


def calls(up: Deployment) -> float:
    """How many calls the page of all workers has counted."""
    with urllib.request.urlopen(f"http://{up.metrics}/metrics", timeout=10) as answer:
        return sum(counted(answer.read(), "llmbase_calls_total").values())


def at_each(process: Process, up: Deployment) -> dict[int, int]:
    """How many connections of callers each worker has, by its process id, as the kernel says."""
    ports = {int(address.rpartition(":")[2]) for address in (up.http, up.grpc)}
    table = [
        line.split()
        for name in ("tcp", "tcp6")  # gRPC's sockets are of the second kind
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    inodes = {row[9] for row in table if row[3] == "01" and int(row[1][-4:], 16) in ports}
    found = {}
    for pid in children(process):
        links = [
            str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()
        ]
        found[pid] = sum(link[8:-1] in inodes for link in links if link.startswith("socket:["))
    return found


@contextlib.asynccontextmanager
async def streams(up: Deployment) -> AsyncIterator[tuple[Signal, list[asyncio.Task[Answer]]]]:
    """Streams that have begun, each on its own connection, and what lets them go on."""
    go_on = Signal()
    script = stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE)
    up.upstream.on("one", *[script] * STREAMS)
    async with contextlib.AsyncExitStack() as stack:
        begun, tasks = [Signal() for _ in range(STREAMS)], []
        for number, first in enumerate(begun):
            door: RestDoor | GrpcDoor = (
                RestDoor(up.http, KEY) if number % 2 else GrpcDoor(up.grpc, KEY, OWN)
            )
            await stack.enter_async_context(door)
            tasks.append(asyncio.create_task(_ask(door, first)))
        for first in begun:
            await first.wait()
        yield go_on, tasks
        go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ask(door: RestDoor | GrpcDoor, first: Signal) -> Answer:
    return await door.ask(hello(stream=True), first=first, timeout=60)


async def until(process: Process, message: str, number: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(40):
        while True:
            lines = [json.loads(line) for line in process.log.splitlines()]
            found = [line for line in lines if line["message"] == message]
            if len(found) >= number:
                return found
            await asyncio.sleep(0.05)


async def test_connections_are_spread_and_the_page_of_metrics_has_all(up: Deployment) -> None:
    (process,) = up.processes
    async with streams(up) as (go_on, tasks):
        spread = await asyncio.to_thread(at_each, process, up)
        go_on.set()
        answers = await asyncio.gather(*tasks)
    assert [answer.text for answer in answers] == ["Hello"] * STREAMS
    assert len(spread) == 2 and all(spread.values()) and sum(spread.values()) == STREAMS, spread
    assert calls(up) == STREAMS


async def test_a_worker_that_is_killed_is_replaced_and_the_other_goes_on(up: Deployment) -> None:
    (process,) = up.processes
    before = children(process)
    async with streams(up) as (go_on, tasks):
        os.kill(min(before), signal.SIGKILL)
        (line,) = await until(process, "worker ended, starting another", 1)
        assert (line["pid"], line["exit_code"]) == (min(before), -signal.SIGKILL)
        await until(process, "worker is ready", 1)
        go_on.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    unbroken = [end for end in ends if isinstance(end, Answer) and end.complete]
    assert 0 < len(unbroken) < STREAMS
    after = children(process)
    assert len(after) == 2 and len(after & before) == 1

    async with streams(up) as (go_on, tasks):
        spread = await asyncio.to_thread(at_each, process, up)
        assert set(spread) == after and all(spread.values())
        go_on.set()
        assert all(answer.complete for answer in await asyncio.gather(*tasks))


@pytest.mark.matrix  # it takes the half minute after which a worker is said to hang
async def test_a_worker_that_hangs_is_replaced_and_the_other_goes_on(up: Deployment) -> None:
    (process,) = up.processes
    stopped, other = sorted(children(process))
    os.kill(stopped, signal.SIGSTOP)
    (line,) = await until(process, "worker hangs, ending it", 1)
    assert line["pid"] == stopped
    await until(process, "worker is ready", 1)
    after = children(process)
    assert len(after) == 2 and after - {stopped} >= {other}


async def test_all_workers_drain_and_no_stream_breaks(up: Deployment) -> None:
    (process,) = up.processes
    async with streams(up) as (go_on, tasks):
        process.send(signal.SIGTERM)
        async with RestDoor(up.http, KEY) as door:
            async with asyncio.timeout(10):
                while (await door.get("/readyz")).status == 200:
                    pass
        go_on.set()
        answers = await asyncio.gather(*tasks)
    assert [answer.text for answer in answers] == ["Hello"] * STREAMS
    assert await asyncio.to_thread(process.wait) == 0
    assert "worker ended" not in process.log


async def test_a_reload_reaches_all_workers(
    up: Deployment, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    (process,) = up.processes
    process.send(signal.SIGHUP)
    applied = await until(process, "configuration applied", 2)
    assert [line["generation"] for line in applied] == [2, 2]
    limited = settings(upstream, metrics="127.0.0.1:0")
    limited["keys"][0]["max_active"] = 3
    configuration.write(limited, tmp_path)
    refused = await until(process, "configuration refused, the one before stays", 2)
    assert "shared.url" in refused[0]["why"]


async def test_a_gateway_and_a_service_have_workers_and_a_reader_of_their_ports(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    path = configuration.write(settings(upstream), tmp_path)
    flags = ("--config", str(path), "--workers", "2")
    with running("service", *flags, directory=tmp_path) as service:
        _, target = service.wait_until_ready(60)
        at = ("--service", target, "--http", "127.0.0.1:0")
        with running("gateway", *at, "--workers", "2", directory=tmp_path) as gateway:
            (http,) = gateway.wait_until_ready(60)
            upstream.on("one", *[says("Hi")] * 4)
            for _ in range(4):
                async with RestDoor(http, KEY) as door:
                    assert (await door.ask(hello())).text == "Hi"
            assert gateway.stop() == 0
        assert service.stop() == 0


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    flags = ("--http", "127.0.0.1:0", "--workers", "2")
    with running("gateway", *flags, directory=tmp_path) as gateway:
        gateway.wait_until_ready(60)
        pids = children(gateway)
        assert len(pids) == 2
        gateway.send(signal.SIGKILL)
        gateway.wait()
        until = time.monotonic() + 20
        while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < until, alive
            time.sleep(0.05)


def test_a_port_that_is_taken_is_named_once(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    path = configuration.write(settings(upstream), tmp_path)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = ("--config", str(path), "--grpc", address, "--workers", "2")
        with running("service", *flags, directory=tmp_path) as process:
            assert process.wait(60) == 1
            assert f"cannot listen on {address}" in process.log
            assert process.log.count("\n") == 1


def test_what_no_worker_can_start_with_is_said_once(tmp_path: Path) -> None:
    flags = ("--http", "127.0.0.1:0", "--service", "nowhere", "--workers", "3")
    with running("gateway", *flags, directory=tmp_path) as process:
        assert process.wait(60) == 1
        assert process.log.count("\n") == 1
        assert "nowhere" in process.log


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"store": {"url": "sqlite:////tmp/x.db"}}, "shared"),
        ({"keys": [{"name": "a", "sha256": "0" * 64, "requests_per_minute": 5}]}, "keys.0.req"),
        ({"admission": {"max_in_flight": 1}}, "admission.max_in_flight: 1 cannot be shared"),
        ({"server": {"grpc": "unix:/tmp/x.sock"}}, "Unix socket"),
    ],
)
def test_what_workers_cannot_keep_is_refused(
    change: dict[str, Any], told: str, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    path = configuration.write(settings(upstream) | change, tmp_path)
    flags = ("--config", str(path), "--workers", "2")
    with running("service", *flags, directory=tmp_path) as process:
        assert process.wait(60) == 1
        assert told in process.log
        assert process.log.count("\n") == 1
