"""The local model: a child process that is kept alive, and where the provider finds it.

To the provider it is an HTTP endpoint like any other. While the process is down a call fails as it
does at an endpoint that refuses connections, and the service goes on.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from service.providers.embedded_engine import EngineOptions
from service.providers.engine_process import EngineError, EngineProcess
from service.providers.model_store import DEFAULT_MODEL, ModelStore

DEFAULT_CONTEXT_LENGTH = 2048  # tokens

_FIRST_PAUSE = 0.1  # seconds before a restart; doubled each time up to
_LONGEST_PAUSE = 30.0
_SETTLED = 60.0  # seconds of life after which the next restart is a first one again

_log = logging.getLogger("llmbase.embedded")


def require_engine() -> None:
    """Raise EngineError, which says what to install, where there is no engine."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise EngineError("the local model needs its engine: pip install 'llmbase[local]'")


class EmbeddedEngine:
    """Runs a GGUF model in a process of its own, and starts it again when it dies.

    `model` is a name that `llmbase model pull` knows, looked for in `models_dir`, or a path.
    `context_length` is in tokens and holds for each of the `parallel` conversations that are
    answered at once; `max_tokens` limits answers whose request sets no limit. Memory is about
    the model's file plus (for the default model) 23 KB for each token of all contexts.
    """

    base_url = "http://embedded/v1"

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        models_dir: Path,
        n_threads: int | None = None,
        context_length: int = DEFAULT_CONTEXT_LENGTH,
        parallel: int = 4,
        max_tokens: int = 1024,
        start_timeout: float = 120.0,
    ) -> None:
        self._model = model
        self._store = ModelStore(models_dir)
        self._threads = n_threads or max(1, _cores() - 1)
        self._context_length = context_length
        self._parallel = parallel
        self._max_tokens = max_tokens
        self._start_timeout = start_timeout
        # The name is settled before the directory is made, for a client is made earlier.
        self._directory = Path(tempfile.gettempdir()) / f"llmbase-{secrets.token_hex(8)}"
        self._socket = self._directory / "engine.sock"
        self._keeping: asyncio.Task[None] | None = None

    @property
    def socket(self) -> Path:
        """Where the engine listens once it has been started: a thread for each connection."""
        return self._socket

    async def start(self) -> None:
        """Return when the model is loaded. Raises LocalModelError."""
        require_engine()
        options = EngineOptions(
            model=str(self._store.resolve(self._model)),
            socket=str(self._socket),
            threads=self._threads,
            parallel=self._parallel,
            context_length=self._context_length,
            max_tokens=self._max_tokens,
        )
        try:
            self._directory.mkdir(mode=0o700)
            process = await EngineProcess.start(options, self._start_timeout)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        self._keeping = asyncio.get_running_loop().create_task(self._keep(process, options))

    async def stop(self) -> None:
        """End the process. Safe to call after a `start` that failed, or without one."""
        if self._keeping is None:
            return
        try:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    async def _keep(self, process: EngineProcess, options: EngineOptions) -> None:
        """Start the process again whenever it ends, until cancelled; then end it."""
        clock = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE
        while True:
            born = clock()
            try:
                reason = await process.ended()
            finally:
                await process.stop()
            if clock() - born >= _SETTLED:
                pause = _FIRST_PAUSE
            process, pause = await self._restart(options, reason, pause)

    async def _restart(
        self, options: EngineOptions, reason: str, pause: float
    ) -> tuple[EngineProcess, float]:
        """Try until there is a process again; return it and the pause before the next restart."""
        while True:
            _log.warning(
                "the embedded engine is down",
                extra={"model": str(self._model), "reason": reason, "restart_in": pause},
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                process = await EngineProcess.start(options, self._start_timeout)
            except EngineError as error:
                reason = str(error)
                continue
            _log.warning("the embedded engine is up again", extra={"model": str(self._model)})
            return process, pause


def _cores() -> int:
    """How many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
