"""Takes a changed configuration file over while calls go on: the whole of it, or nothing.

A file is looked at again when the process is told to (SIGHUP) or when it has changed. It is polled,
because a mounted directory can be exchanged without its files being written to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, Protocol

from service.config import Config
from service.config_file import load
from service.mendable import ConfigError
from service.providers.engine_process import EngineError
from telemetry.metrics import CONFIG_RELOADS, Metrics

_LOG = logging.getLogger("llmbase.config")

Labels = Mapping[str, frozenset[str]]
Signature = tuple[int, int, int]


class Reloadable(Protocol):
    """What takes a configuration over, and how many it has had; see `server.Service`."""

    @property
    def number(self) -> int: ...  # noqa: D102

    async def reload(self, config: Config) -> tuple[str, ...]: ...  # noqa: D102


class Reloader:
    """Watches the file at `path`, from which `config` was read, on behalf of a service.

    `labels` says what the metrics' labels can be under a configuration, `adjust` what of the file
    holds for this process; `every` is in seconds.
    """

    def __init__(
        self,
        service: Reloadable,
        path: Path,
        config: Config,
        environ: Mapping[str, str],
        metrics: Metrics,
        labels: Callable[[Config], Labels],
        *,
        adjust: Callable[[Config], Config] = lambda config: config,
        every: float = 1.0,
    ) -> None:
        self._service = service
        self._path = path
        self._config = config
        self._environ = environ
        self._metrics = metrics
        self._labels = labels
        self._adjust = adjust
        self._every = every
        self._seen: Signature | None = None  # nothing yet: it may have changed since it was read

    async def run(self, told: asyncio.Event) -> NoReturn:
        """Take over whatever comes, until this is cancelled. `told` asks for a look at once."""
        while True:
            if await _within(self._every, told):
                told.clear()
                await self.reload(even_if_same=True)
                continue
            now = await asyncio.to_thread(_signature, self._path)
            if now is not None and now != self._seen:
                await self.reload(even_if_same=False)

    async def reload(self, *, even_if_same: bool) -> None:
        """Read the file and take it over, or say in the log why not.

        A file that says the same can still name other files that have changed.
        """
        # Before it is read: what is written while it is being read is then seen the next time.
        self._seen = await asyncio.to_thread(_signature, self._path)
        try:
            config = self._adjust(await asyncio.to_thread(load, self._path, self._environ))
            if config == self._config and not even_if_same:
                return
            self._metrics.learn(self._labels(config))
            fixed = await self._service.reload(config)
        except (ConfigError, EngineError) as error:
            self._refuse(str(error))
        except Exception as error:  # what runs is better than a process that has given up
            self._refuse(type(error).__name__)
        else:
            self._config = config
            self._metrics.count(CONFIG_RELOADS, result="applied")
            told: dict[str, object] = {"generation": self._service.number}
            if fixed:
                told["needs_restart"] = list(fixed)
            _LOG.info("configuration applied", extra=told)

    def _refuse(self, why: str) -> None:
        self._metrics.count(CONFIG_RELOADS, result="refused")
        told = {"generation": self._service.number, "why": why}
        _LOG.error("configuration refused, the one before stays", extra=told)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for the event, at most so long; return whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _signature(path: Path) -> Signature | None:
    """Return what changes when the file does; None while there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
