"""Replicas at fixed ports that are ended and started again, as a rollout does with them."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.support import config
from tests.support.envoy import Replica
from tests.support.openai_wire import says, stream
from tests.support.processes import Process
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Exchange, Request, Script
from tests.support.servers import free_port
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
HELD = ("one", "plain")
PATIENCE = 100.0  # seconds that a busy machine may take for any of it


class Running:
    """A replica's processes, by generation: each has providers at a path of its own."""

    def __init__(
        self, shape: str, name: str, upstream: ScriptedUpstream, directory: Path, notice: float
    ) -> None:
        self.at = Replica(free_port(), free_port())
        self._shape = shape
        self._name = name
        self._upstream = upstream
        self._directory = directory
        self._notice = notice
        self._generation = 0
        self._processes: list[Process] = []

    @property
    def path(self) -> str:
        """Where its providers are: what tells its calls from those of others."""
        return f"/{self._name}{self._generation}"

    async def start(self) -> None:
        """Start it, anew if there was one."""
        self._generation += 1
        directory = self._directory / self.path[1:]
        directory.mkdir()
        file = config.write(self._config(), directory)
        doors = f"127.0.0.1:{self.at.http}", f"127.0.0.1:{self.at.grpc}"
        commands = [("up", "--config", str(file), "--http", doors[0], "--grpc", doors[1])]
        if self._shape == "pod":
            socket = f"unix:{directory}/s"
            service = ("service", "--config", str(file), "--grpc", doors[1], "--grpc", socket)
            ends = ("--notice", str(self._notice), "--drain", str(PATIENCE))
            commands = [service, ("gateway", "--http", doors[0], "--service", socket, *ends)]
        self._processes = []
        for command in commands:
            self._processes.append(Process(*command, directory=directory))
            await asyncio.to_thread(self._processes[-1].wait_until_ready, PATIENCE)

    async def end(self) -> None:
        """End it as a pod ends: the door first, and the service when that has gone."""
        for process in reversed(self._processes):
            process.send(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0, process.log

    def kill(self) -> None:
        """Leave nothing behind."""
        for process in self._processes:
            if process.exit_code is None:
                process.send(signal.SIGKILL)
            process.wait()

    def _config(self) -> dict[str, Any]:
        server = {"drain": f"{PATIENCE}s", "notice": f"{self._notice}s"}
        settings = config.standard(self._upstream, **server)
        for provider in settings["providers"].values():
            provider["base_url"] = self._upstream.url(self.path)
            provider["timeouts"] |= {"idle": f"{3 * PATIENCE}s", "total": f"{3 * PATIENCE}s"}
        return settings | {"store": None}


class Providers:
    """What the replicas' providers do: `one` and `plain` stream and are held, `glm-5` answers."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._held: defaultdict[tuple[str, str], Signal] = defaultdict(Signal)
        for model in HELD:
            upstream.on(model, self._stream)
        upstream.on("glm-5", says("Hello"))

    def let_go(self, path: str, model: str) -> None:
        """Have a generation's streams of one model end."""
        self._held[path, model].set()

    def asked(self, *models: str, since: int = 0) -> Counter[str]:
        """How many calls came from which generation, after the first `since` of all."""
        return Counter(_path(it) for it in self._upstream.requests[since:] if it.model in models)

    @property
    def count(self) -> int:
        """How many calls there were."""
        return len(self._upstream.exchanges)

    def _stream(self, request: Request) -> Script:
        held = self._held[_path(request), request.model]

        async def until_let_go(_: Exchange) -> None:
            await held.wait(PATIENCE)

        return stream(ROLE, HEL, until_let_go, LO, FINISH, USAGE, DONE)


def _path(request: Request) -> str:
    """The beginning of a request's path, which a generation has for its own."""
    return f"/{request.path.split('/')[1]}"
