"""The probes of the manifests, asked as a kubelet asks them: at the start, the end and a hang."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import config as configuration
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.local_model import require_local_model
from tests.support.openai_wire import says, stream
from tests.support.prober import Container, arguments, probed
from tests.support.processes import Process
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.servers import free_port
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
PATIENCE = 60.0  # seconds that a start may take on a busy machine
SERVICE_PORT, GATEWAY_PORT = 50051, 8080


@dataclass
class Pod:
    """The pod of the base: what its containers run, at ports of this machine."""

    directory: Path
    ports: dict[int | str, int] = field(
        default_factory=lambda: {SERVICE_PORT: free_port(), GATEWAY_PORT: free_port()}
    )
    processes: list[Process] = field(default_factory=list)

    def start(self, name: str) -> Process:
        """Run a container as its manifest says."""
        here = {
            "/etc/llmbase": str(self.directory),
            "/run/llmbase": str(self.directory),
            f"0.0.0.0:{SERVICE_PORT}": f"127.0.0.1:{self.ports[SERVICE_PORT]}",
            f"0.0.0.0:{GATEWAY_PORT}": f"127.0.0.1:{self.ports[GATEWAY_PORT]}",
            "--notice=5": "--notice=0",  # nobody balances here
        }
        started = Process(*arguments(name, here), directory=self.directory)
        self.processes.append(started)
        return started

    def probed(self, name: str) -> Container:
        """The container as its kubelet sees it."""
        return probed(name, self.ports)


@pytest.fixture
def pod(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Pod]:
    """The base's pod, not started; its models are the tests' own."""
    found = Pod(tmp_path)
    _configure(found, configuration.standard(upstream, drain="60s"))
    yield found
    for process in found.processes:
        if process.exit_code is None:
            process.send(signal.SIGCONT)
            process.send(signal.SIGKILL)
        process.wait()


def _configure(pod: Pod, config: dict[str, Any]) -> None:
    configuration.write(config | {"store": None}, pod.directory)


async def test_a_pod_starts_one_container_after_the_other_and_is_restarted_for_nothing(
    pod: Pod,
) -> None:
    service, gateway = pod.probed("service"), pod.probed("gateway")
    await service.round()
    assert service.said == {"startup": ["UNAVAILABLE"]}

    pod.start("service")
    await service.until_started(PATIENCE)
    pod.start("gateway")
    await gateway.until_started(PATIENCE)

    for container in (service, gateway):
        await container.rounds(3)
        assert (container.ready, container.restarts) == (True, 0)
        assert set(container.said["liveness"]) == {"ok"}


@pytest.mark.local_model
async def test_a_service_that_loads_its_model_is_alive_and_not_ready_until_it_has(
    pod: Pod,
) -> None:
    require_local_model()
    local = configuration.model(("local", "smollm2-135m-instruct"), supported_features=[])
    keys = [configuration.key_entry("all", KEY, ["*"])]
    providers = {"local": {"dialect": "embedded"}}
    _configure(pod, {"providers": providers, "models": {"local/m": local}, "keys": keys})
    service, gateway = pod.probed("service"), pod.probed("gateway")

    pod.start("gateway")  # no kubelet would, but supervisors differ
    pod.start("service")
    async with asyncio.timeout(PATIENCE):
        while not gateway.started:
            await gateway.round()
    await gateway.rounds(1)
    before = gateway.said["readiness"][-1]
    await service.until_started(PATIENCE)

    assert before == "503"
    assert "NOT_SERVING" in service.said["startup"]
    assert set(service.said["startup"]) <= {"UNAVAILABLE", "NOT_SERVING", "ok"}
    await gateway.until_started(PATIENCE)
    assert (service.restarts, gateway.restarts) == (0, 0)
    assert set(gateway.said["liveness"]) == {"ok"}


async def test_a_pod_that_drains_is_not_ready_and_nobody_restarts_its_gateway(
    pod: Pod, upstream: ScriptedUpstream
) -> None:
    go_on = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    service, gateway, processes = await _started(pod)

    async with RestDoor(f"http://127.0.0.1:{pod.ports[GATEWAY_PORT]}", KEY) as door:
        begun = Signal()
        asking = asyncio.create_task(door.ask(hello(stream=True), first=begun))
        await begun.wait()
        processes["gateway"].send(signal.SIGTERM)
        await _until(gateway, ready=False)
        await service.rounds(2)
        assert (service.ready, gateway.restarts) == (True, 0)
        assert gateway.said["liveness"][-1] == "ok"

        service.ending = True
        processes["service"].send(signal.SIGTERM)
        await _until(service, ready=False)
        assert service.said["readiness"][-1] == "NOT_SERVING"
        go_on.set()
        answer = await asking

    assert (answer.text, answer.complete) == ("Hello", True)
    for process in processes.values():
        assert await asyncio.to_thread(process.wait) == 0


@pytest.mark.matrix
async def test_a_service_that_hangs_is_found_and_its_gateway_is_not_to_blame(pod: Pod) -> None:
    service, gateway, processes = await _started(pod)

    processes["service"].send(signal.SIGSTOP)
    await asyncio.gather(service.rounds(service.readiness.limit), gateway.rounds(2))
    assert (service.ready, gateway.ready) == (False, False)
    assert gateway.said["readiness"][-1] == "503", "a refusal of its own, within the limit"
    assert service.restarts == 0
    await service.rounds(service.liveness.limit - service.readiness.limit)
    assert service.restarts == 1

    processes["service"].send(signal.SIGCONT)
    await asyncio.gather(service.until_started(PATIENCE), gateway.until_started(PATIENCE))
    assert gateway.restarts == 0
    assert set(gateway.said["liveness"]) == {"ok"}


async def test_a_gateway_finds_the_service_that_was_started_again_behind_its_back(
    pod: Pod, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hello"))
    service, gateway, processes = await _started(pod)

    processes["service"].send(signal.SIGKILL)
    await asyncio.to_thread(processes["service"].wait)
    await _until(gateway, ready=False)
    assert gateway.said["readiness"][-1] == "503"
    service.started = service.ready = False
    pod.start("service")  # over the socket that the dead one left
    await asyncio.gather(service.until_started(PATIENCE), gateway.until_started(PATIENCE))

    async with RestDoor(f"http://127.0.0.1:{pod.ports[GATEWAY_PORT]}", KEY) as door:
        assert (await door.ask(hello())).text == "Hello"
    assert gateway.restarts == 0


async def _started(pod: Pod) -> tuple[Container, Container, dict[str, Process]]:
    service, gateway = pod.probed("service"), pod.probed("gateway")
    processes = {}
    for container in (service, gateway):
        processes[container.name] = pod.start(container.name)
        await container.until_started(PATIENCE)
    return service, gateway, processes


async def _until(container: Container, *, ready: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while container.ready is not ready:
            await container.round()
