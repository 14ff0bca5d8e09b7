"""What one of several workers is told: its number, where all of them listen, its share of bounds.

A worker is a fresh process with the same arguments as its parent, and one variable more.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.workers.heart import beat
from service.mendable import ConfigError

if TYPE_CHECKING:
    from service.config import Config, ModelConfig

VARIABLE = "LLMBASE_WORKER"
_LIMITS = ("max_active", "requests_per_minute", "tokens_per_minute")


@dataclass(frozen=True, slots=True)
class Worker:
    """The `number`th of `of` workers. Addresses are real ones: none has port 0."""

    number: int = 0
    of: int = 1
    http: str = ""
    grpc: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()
    metrics: str | None = None  # unix:PATH, which nobody else is told of

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.of == 1

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Show the parent, where there is one, that the loop goes round."""
        if not self.alone:
            beat(loop)

    def adjust(self, config: Config) -> Config:
        """Return what of a configuration holds for this worker. Raises ConfigError."""
        if self.alone:
            return config
        check(config, self.of)
        admission, kept = config.admission, config.idempotency
        return config.model_copy(
            update={
                "server": config.server.model_copy(update=self._doors(config)),
                "admission": admission.model_copy(
                    update={
                        "max_in_flight": self._share(admission.max_in_flight),
                        "max_queued": self._share(admission.max_queued),
                    }
                ),
                "idempotency": kept.model_copy(update={"max_bytes": self._share(kept.max_bytes)}),
                "models": {name: self._model(model) for name, model in config.models.items()},
            }
        )

    def to_text(self) -> str:
        """Return the variable's value."""
        return json.dumps(dataclasses.asdict(self))

    def _doors(self, config: Config) -> dict[str, Any]:
        tls = config.server.tls
        own = tls.model_copy(update={"grpc": self.tls}) if tls is not None else None
        return {"grpc": self.grpc, "tls": own, "metrics": self.metrics}

    def _model(self, model: ModelConfig) -> ModelConfig:
        targets = tuple(
            target
            if target.max_in_flight is None
            else target.model_copy(update={"max_in_flight": self._share(target.max_in_flight)})
            for target in model.targets
        )
        return model.model_copy(update={"targets": targets})

    def _share(self, whole: int) -> int:
        """Return our part: those of all workers add up to the whole."""
        return whole // self.of + (self.number < whole % self.of)


def from_environment(environ: Mapping[str, str]) -> Worker | None:
    """Return which worker this process is; None: it was not started as one."""
    text = environ.get(VARIABLE)
    if text is None:
        return None
    told = json.loads(text)
    return Worker(**told | {name: tuple(told[name]) for name in ("grpc", "tls")})


def end_with_parent() -> None:
    """Drain when the parent is gone, however it went: it holds the other end of our input."""
    threading.Thread(target=_wait_for_end_of_input, name="parent", daemon=True).start()


def _wait_for_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def check(config: Config, count: int) -> None:
    """Raise ConfigError where `count` workers could not keep what a configuration promises."""
    for name, provider in config.providers.items():
        if provider.dialect == "embedded":
            raise ConfigError(
                f"providers.{name}: the local model takes every core by itself, and each worker "
                "would load it: use one worker, or another service for it"
            )
    if config.shared is None and (why := _what_is_counted(config)):
        raise ConfigError(
            f"shared: several workers count {why} together in Redis or Valkey only: set "
            "`shared.url`, or `store: null` and no limits of keys, or use one worker"
        )
    bounds = {"admission.max_in_flight": config.admission.max_in_flight}
    for model_id, model in config.models.items():
        for i, target in enumerate(model.targets):
            if target.max_in_flight is not None:
                bounds[f"models.{model_id}.targets.{i}.max_in_flight"] = target.max_in_flight
    for name, bound in bounds.items():
        if bound < count:
            raise ConfigError(f"{name}: {bound} cannot be shared out among {count} workers")


def _what_is_counted(config: Config) -> str:
    """Return which limits there can be; nothing where there are none."""
    for part, callers in (("keys", config.keys), ("identities", config.identities)):
        for i, caller in enumerate(callers):
            for limit in _LIMITS:
                if getattr(caller, limit) is not None:
                    return f"`{part}.{i}.{limit}`"
    return "the limits of accounts and keys in the `store`" if config.store is not None else ""
