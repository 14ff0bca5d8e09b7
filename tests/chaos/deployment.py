"""A service and a gateway as processes that can be killed, and are then started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from tests.chaos.invariants import TARGETS
from tests.chaos.record import Run
from tests.support import config
from tests.support.config import KEY
from tests.support.ledger_file import ACCOUNT, LedgerFile
from tests.support.processes import Process

_CREDIT = 10**15  # nano-dollars: nobody is to be refused
_SETTLES = 1.5  # seconds after a start in which callers find their way back


class Deployment:
    """At fixed addresses. `proxies` are the ports at which the providers p1, p2 … are."""

    def __init__(self, directory: Path, proxies: dict[str, int], run: Run) -> None:
        self.http_port, self.grpc_port = _free_ports(2)
        self._directory = directory
        self._run = run
        self._lives = 0
        self._processes: dict[str, Process] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._ledger = LedgerFile(directory / "books.db")
        settings = _config(proxies, self.grpc_port) | self._ledger.settings
        self._config = config.write(settings, directory)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def start(self, name: str) -> None:
        """Start `service` or `gateway`, each life in a directory of its own."""
        self._lives += 1
        directory = self._directory / f"life-{self._lives}"
        flags = {
            "service": ("--config", str(self._config), "--log-level", "info"),
            "gateway": ("--service", self.grpc, "--http", f"127.0.0.1:{self.http_port}"),
        }
        process = Process(name, *flags[name], directory=directory)
        self._processes[name] = process

    async def ready(self, name: str) -> None:
        """Wait for its ready line."""
        await asyncio.to_thread(self._processes[name].wait_until_ready)

    def pay(self) -> None:
        """Put money on the account; the service must have been ready once."""
        self._run.books.credit = _CREDIT
        self._ledger.credit(_CREDIT)

    async def kill(self, name: str) -> None:
        """Kill it, and start it again; the time in which callers can tell is noted."""
        since = time.monotonic()
        outage = (since, float("inf"))
        self._run.outages.append(outage)
        old = self._processes[name]
        old.send(signal.SIGKILL)
        await asyncio.to_thread(old.wait)
        self._collect(name)
        self.start(name)
        await self.ready(name)
        self._run.outages.remove(outage)
        self._run.outages.append((since, time.monotonic() + _SETTLES))

    def measure(self) -> dict[str, int]:
        """Resident bytes by process."""
        return {name: _process(it).memory_info().rss for name, it in self._processes.items()}

    def descriptors(self) -> dict[str, int]:
        """Open descriptors by process."""
        return {name: _process(it).num_fds() for name, it in self._processes.items()}

    def stop(self) -> None:
        """End both, in order."""
        for name in ("gateway", "service"):
            if name in self._processes:
                code = self._processes[name].stop()
                if code != 0:
                    self._run.faults.append(f"{name}: ended with {code}")
                self._collect(name)
        books = self._run.books
        books.balance, books.reserved = self._ledger.account()
        books.entries, books.held = self._ledger.all_entries(), self._ledger.amounts_held()

    def _collect(self, name: str) -> None:
        for text in self._processes[name].log.splitlines():
            line: dict[str, Any] = {}
            with contextlib.suppress(ValueError):  # the last line of a killed process may be cut
                line = json.loads(text)
            if name == "service" and line.get("message") == "call":
                self._run.lines.append(line)
            if line.get("level") == "error" or "Traceback" in text or "never retrieved" in text:
                self._run.faults.append(f"{name}: {text[:2000]}")


def _process(process: Process) -> Any:
    return psutil.Process(process.pid)


def _config(proxies: dict[str, int], port: int) -> dict[str, Any]:
    providers = {
        name: config.provider(
            f"http://127.0.0.1:{proxy}/v1",
            connect="500ms",
            first_content="700ms",
            idle="700ms",
            total="4s",
        )
        | {"breaker": {"max_open": "1s"}}
        for name, proxy in proxies.items()
    }
    models = {
        name: config.model(*((model.partition("-")[0], model) for model in targets))
        for name, targets in TARGETS.items()
    }
    models["chaos/a"] |= {"fallbacks": ["chaos/b"], "max_attempts": 3}
    models["chaos/b"] |= {"policy": "fastest"}
    models["chaos/hedged"] |= {"hedge": {"enabled": True}}
    for each in models.values():
        each["pricing"] = {"prompt": "0.000001", "completion": "0.000003"}
    return {
        "server": {"grpc": f"127.0.0.1:{port}", "drain": "2s"},
        "admission": {"max_in_flight": 60, "max_queued": 10},
        "providers": providers,
        "models": models,
        "keys": [config.key_entry("all", KEY, ["*"]) | {"account": ACCOUNT}],
    }


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
