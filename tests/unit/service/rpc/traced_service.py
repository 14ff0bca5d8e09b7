"""A chat service over providers of a test, and what it needs of gRPC, with a tracer."""

from __future__ import annotations

import random
import time
from typing import Any

from service.accounts.local_limits import LocalLimiter
from service.admission.admission import Admission
from service.config import IdempotencyConfig, ModelConfig
from service.idempotency.store import Store
from service.routing.board import Board
from service.routing.dispatcher import Dispatcher
from service.routing.router import Router
from service.rpc.answers import Answers
from service.rpc.calls import Calls
from service.rpc.chat_completion import ChatCompletionServicer
from service.rpc.desk import Desk
from telemetry.metrics import Metrics
from tests.unit.service.rpc.generations import KEY, FreeOfCharge, current


class Context:
    """What a servicer needs of gRPC."""

    def __init__(self, key: str = KEY, **metadata: str) -> None:
        self.metadata = {"authorization": f"Bearer {key}", "x-request-id": "r-1", **metadata}
        self.written: list[Any] = []

    def invocation_metadata(self) -> Any:
        return tuple(self.metadata.items())

    def auth_context(self) -> Any:
        return {}

    def time_remaining(self) -> None:
        return None

    async def send_initial_metadata(self, metadata: Any) -> None:
        pass

    def set_trailing_metadata(self, metadata: Any) -> None:
        pass

    async def write(self, message: Any) -> None:
        self.written.append(message)

    async def abort(self, code: Any, details: str, trailing_metadata: Any) -> None:
        raise Aborted(code)


class Aborted(Exception):
    """What gRPC raises in a handler that aborts."""


def servicer(tracer: Any, providers: dict[str, Any]) -> ChatCompletionServicer:
    """A chat service whose model `m` has the providers as its targets, in order."""
    targets = [{"provider": name} for name in providers]
    models = {"m": ModelConfig.model_validate({"targets": targets})}
    chance = random.Random(1)
    router = Router(models, providers, Board({}, time.monotonic, chance))
    metrics = Metrics({})
    dispatcher = Dispatcher(router, time.time, time.monotonic, chance, metrics)
    generation = current(router, dispatcher)
    generation.generation.secrets = ("swordfish",)  # type: ignore[attr-defined]
    admission, limiter = Admission(10, 0, lambda: 0.0), LocalLimiter(lambda: 0, metrics)
    desk = Desk(limiter, admission, FreeOfCharge(), time.monotonic, metrics)
    calls = Calls(generation, time.monotonic, metrics, desk, tracer)
    return ChatCompletionServicer(calls, Answers(calls, Store(IdempotencyConfig()), metrics))
