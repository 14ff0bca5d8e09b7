"""A configuration that changes under open calls: they go on as they began, new ones do not."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Entrance
from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.config import KEY, NARROW_KEY
from tests.support.openai_wire import refuses, says, stream
from tests.support.processes import Process
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()


@pytest.fixture(params=["grpc", "rest", "sidecar"])
def entrance(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> Iterator[Entrance]:
    """Each way in, before processes of this test's own."""
    shape = deployments.sidecar if request.param == "sidecar" else deployments.one_process
    with shape(upstream, tmp_path) as deployment:
        yield Entrance(request.param, deployment)


@pytest.fixture
def service(entrance: Entrance) -> Process:
    """The process that has the configuration."""
    return entrance.deployment.processes[-1]


def _lines(service: Process, message: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in service.log.splitlines())
    return [line for line in lines if line["message"] == message]


async def _until_said(service: Process, message: str, number: int = 1) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while len(found := _lines(service, message)) < number:  # noqa: ASYNC110 - it is a file
            await asyncio.sleep(0.02)
    return found[-1]


async def test_a_changed_file_is_for_new_calls_and_open_ones_end_as_they_began(
    entrance: Entrance, service: Process, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    go_on = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    upstream.on("newcomer", says("Hi"), says("Hi"))
    async with entrance.open(KEY) as door, entrance.open(NARROW_KEY) as other:
        begun = Signal()
        running = asyncio.create_task(door.ask(hello("test/one", stream=True), first=begun))
        await begun.wait()
        new = configuration.standard(upstream)
        del new["providers"]["alpha"]
        new["models"] = {"test/new": configuration.model(("fresh", "newcomer"))}
        new["providers"] = {"fresh": configuration.provider(upstream.url("/fresh"))}
        new["keys"] = new["keys"][:1]
        configuration.write(new, tmp_path)
        applied = await _until_said(service, "configuration applied")
        assert applied["generation"] == 2

        assert (await door.ask(hello("test/new"))).failure is None
        assert (await door.ask(hello("test/new", stream=True))).failure is None
        gone = (await door.ask(hello("test/one"))).failure
        assert gone is not None
        assert gone.status == 404
        revoked = (await other.ask(hello("zai-org/glm-5"))).failure
        assert revoked is not None
        assert revoked.status == 401

        go_on.set()
        answer = await running
        assert answer.failure is None
        assert answer.complete
        assert answer.choices[0].text == "Hello"
        assert (answer.model, answer.route.provider) == ("test/one", "alpha")  # type: ignore[union-attr]
    (old,) = [it for it in upstream.requests if it.path.startswith("/alpha")]
    assert old.model == "one"


async def test_the_connections_of_what_was_replaced_are_closed_when_its_last_call_ends(
    tmp_path: Path,
) -> None:
    go_on = Signal()
    with (
        ScriptedUpstream().in_thread() as upstream,
        deployments.one_process(upstream, tmp_path) as deployment,
    ):
        upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
        async with Entrance("rest", deployment).open(KEY) as door:
            begun = Signal()
            running = asyncio.create_task(door.ask(hello("test/one", stream=True), first=begun))
            await begun.wait()
            new = configuration.standard(upstream)
            new["providers"]["alpha"]["headers"] = {"X-New": "yes"}
            configuration.write(new, tmp_path)
            await _until_said(deployment.processes[0], "configuration applied")
            assert upstream.connections == 1
            go_on.set()
            assert (await running).complete
            async with asyncio.timeout(10):
                while upstream.connections:  # noqa: ASYNC110 - it belongs to another thread
                    await asyncio.sleep(0.02)


async def test_a_bad_file_changes_nothing_and_says_why(
    entrance: Entrance, service: Process, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", says("Hi"), says("Hi"))
    async with entrance.open(KEY) as door:
        assert (await door.ask(hello("test/one"))).failure is None
        new = configuration.standard(upstream)
        new["models"]["test/one"]["targets"][0]["provider"] = "nobody"
        configuration.write(new, tmp_path)
        refused = await _until_said(service, "configuration refused, the one before stays")
        assert "test/one" in refused["why"]
        assert "nobody" in refused["why"]
        assert refused["generation"] == 1
        assert (await door.ask(hello("test/one"))).failure is None


async def test_sighup_reads_the_file_again_whatever_it_says_and_ends_nothing(
    entrance: Entrance, service: Process, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hi"))
    service.send(signal.SIGHUP)
    applied = await _until_said(service, "configuration applied")
    assert applied["generation"] == 2
    assert "needs_restart" not in applied
    async with entrance.open(KEY) as door:
        assert (await door.ask(hello("test/one"))).failure is None


async def test_what_is_known_of_a_provider_outlives_a_change_elsewhere(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    config = configuration.standard(upstream)
    config["providers"]["alpha"]["breaker"] = {"enabled": True}
    upstream.on("first", refuses(403))
    upstream.on("second", says("Hi"), says("Hi"), says("Hi"))
    with deployments.one_process(upstream, tmp_path, config) as deployment:
        async with Entrance("rest", deployment).open(KEY) as door:
            assert (await door.ask(hello("test/two"))).failure is None
            config["models"]["test/two"]["name"] = "Two"
            config["server"]["metrics"] = "127.0.0.1:0"
            config["telemetry"] = {"sampling": 0.5}
            configuration.write(config, tmp_path)
            applied = await _until_said(deployment.processes[0], "configuration applied")
            assert applied["needs_restart"] == ["server.metrics", "telemetry"]
            assert (await door.ask(hello("test/two"))).failure is None
            assert [it.model for it in upstream.requests] == ["first", "second", "second"]
            # A provider whose own configuration has changed begins anew.
            config["providers"]["alpha"]["headers"] = {"X-New": "yes"}
            upstream.on("first", says("Hi"))
            configuration.write(config, tmp_path)
            await _until_said(deployment.processes[0], "configuration applied", 2)
            assert (await door.ask(hello("test/two"))).failure is None
    assert [it.model for it in upstream.requests][3:] == ["first"]
    assert deployment.processes[0].exit_code == 0
