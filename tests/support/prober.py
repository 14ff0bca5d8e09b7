"""What a kubelet does to a container, without its clock: the probes of the manifests, in rounds.

A round is one period: every probe that is due is asked once, on a connection of its own, with its
own time limit; what a container is follows from how many in a row have failed.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.kubernetes import K8S, Object, containers, kustomized

_SERVING = health_pb2.HealthCheckResponse.SERVING


def base_containers() -> dict[str, Object]:
    """The containers of the base's pods: rendered where kubectl is, else as they are written."""
    if shutil.which("kubectl"):
        return containers(kustomized("base"))
    text = (K8S / "base" / "deployment.yaml").read_text()
    return containers(tuple(yaml.safe_load_all(text)))


@dataclass(frozen=True)
class Probe:
    """One probe of a manifest. `ports`: where the container's ports, or their names, really are."""

    spec: Mapping[str, Any]
    ports: Mapping[int | str, int]

    @property
    def limit(self) -> int:
        """How many failures in a row count."""
        return int(self.spec.get("failureThreshold", 3))

    @property
    def seconds(self) -> float:
        """How long one answer may take."""
        return float(self.spec.get("timeoutSeconds", 1))

    async def ask(self) -> str:
        """Ask once. Returns `ok`, or what a kubelet would write about the failure."""
        ask = self._ask_grpc if "grpc" in self.spec else self._ask_http
        try:
            async with asyncio.timeout(self.seconds):
                return await ask()
        except TimeoutError:
            return "timeout"

    async def _ask_grpc(self) -> str:
        asked = self.spec["grpc"]
        request = health_pb2.HealthCheckRequest(service=asked.get("service", ""))
        # A pool of its own: a kubelet dials anew for every probe.
        own = [("grpc.use_local_subchannel_pool", 1)]
        address = f"127.0.0.1:{self.ports[asked['port']]}"
        async with grpc.aio.insecure_channel(address, options=own) as channel:
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(request)
            except grpc.aio.AioRpcError as error:
                return error.code().name
        if answer.status == _SERVING:
            return "ok"
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def _ask_http(self) -> str:
        asked = self.spec["httpGet"]
        url = f"http://127.0.0.1:{self.ports[asked['port']]}{asked['path']}"
        try:
            async with aiohttp.request("GET", url, allow_redirects=False) as response:
                return "ok" if 200 <= response.status < 400 else str(response.status)
        except aiohttp.ClientConnectionError:
            return "UNAVAILABLE"


@dataclass
class Container:
    """What a kubelet knows of a container that it probes."""

    name: str
    startup: Probe
    readiness: Probe
    liveness: Probe
    started: bool = False
    ready: bool = False
    restarts: int = 0
    ending: bool = False  # its pod is: then nobody asks any more whether it lives
    said: dict[str, list[str]] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)
    _asked_since: float = 0.0

    async def round(self) -> None:
        """Ask every probe that is due, once."""
        if not self.started:
            await self._start()
            return
        ready, _ = await asyncio.gather(self._passes("readiness", self.readiness), self._lives())
        if ready:
            self.ready = True
        elif self._failed.get("readiness", 0) >= self.readiness.limit:
            self.ready = False

    async def rounds(self, count: int) -> None:
        """Let periods pass."""
        for _ in range(count):
            await self.round()

    async def until_started(self, patience: float) -> None:
        """Go on until it has started and is ready; no restart may be needed for it."""
        async with asyncio.timeout(patience):
            while not self.ready:
                await self.round()
                await asyncio.sleep(0.02)

    async def _start(self) -> None:
        """Ask whether it has started: more often than a kubelet would, but not for longer."""
        self._asked_since = self._asked_since or time.monotonic()
        self.started = await self._passes("startup", self.startup)
        waited = time.monotonic() - self._asked_since
        if self.started:
            self._asked_since = 0.0
        elif waited > self.startup.limit * float(self.startup.spec.get("periodSeconds", 10)):
            self._restart()

    async def _lives(self) -> None:
        if not self.ending:
            await self._passes("liveness", self.liveness)
            if self._failed["liveness"] >= self.liveness.limit:
                self._restart()

    async def _passes(self, kind: str, probe: Probe) -> bool:
        said = await probe.ask()
        self.said.setdefault(kind, []).append(said)
        self._failed[kind] = 0 if said == "ok" else self._failed.get(kind, 0) + 1
        return said == "ok"

    def _restart(self) -> None:
        """Count the restart that a kubelet would make: it is the test that makes it."""
        self.restarts += 1
        self.started = self.ready = False
        self._asked_since = 0.0
        self._failed.clear()


def probed(name: str, ports: Mapping[int | str, int]) -> Container:
    """The container of the base with its probes."""
    spec = base_containers()[name]
    named = {
        one["name"]: ports[one["containerPort"]]
        for one in spec["ports"]
        if one["containerPort"] in ports
    }
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    return Container(name, *(Probe(spec[kind], {**ports, **named}) for kind in kinds))


def arguments(name: str, replaced: Mapping[str, str]) -> list[str]:
    """What the container runs, with paths and ports of this machine."""
    found = [str(word) for word in base_containers()[name]["args"]]
    for old, new in replaced.items():
        found = [word.replace(old, new) for word in found]
    return found
