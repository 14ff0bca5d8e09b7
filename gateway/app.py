"""The gateway's composition root: from a channel and settings to a door that is open.

The channel is whatever speaks grpc.aio's interface: a connection to another process, or the service
in this one. Nothing here knows which.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from grpc_health.v1.health_pb2_grpc import HealthStub
from llmbase.v1.account_pb2_grpc import AccountServiceStub
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub
from llmbase.v1.model_pb2_grpc import ModelServiceStub

from gateway.balance import Balance
from gateway.chat_completions import ChatCompletions
from gateway.cors import Cors
from gateway.description import Description
from gateway.drain import Drain
from gateway.front import Front
from gateway.health import Health
from gateway.labels import known_labels
from gateway.models import Models
from gateway.request_body import BodyReader
from gateway.routes import Route, Routes
from gateway.tls import TlsFiles
from telemetry.metrics import HTTP_ACTIVE_STREAMS, OF_THE_DOOR, Metrics
from telemetry.tracing import NO_TRACER, Tracer, TracingSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set: sizes in bytes, times in seconds."""

    max_body: int = 32 * 1024 * 1024
    cors: tuple[str, ...] = ()
    keepalive: float = 15.0
    body_timeout: float = 60.0
    drain: float = 30.0
    metrics: str | None = None  # where a gateway that stands alone shows them; None: nowhere
    notice: float = 0.0
    tls: TlsFiles | None = None
    traces: TracingSettings | None = None  # as `metrics`: of a gateway that stands alone


@dataclass(frozen=True, slots=True)
class App:
    """What a door opens: `front` answers, of `routes`, and `drain` knows how to close it."""

    routes: Routes
    front: Front
    drain: Drain


def request_ids() -> Callable[[], str]:
    """Return what makes request ids: `req_` and 24 hex digits, which are unique and no secrets."""
    chance = random.Random()  # noqa: S311 - the system is asked once, for its seed
    return lambda: f"req_{chance.getrandbits(96):024x}"


def build_app(
    channel: grpc.aio.Channel,
    settings: Settings,
    *,
    new_id: Callable[[], str] | None = None,
    metrics: Metrics | None = None,
    tracer: Tracer = NO_TRACER,
) -> App:
    """Return the application of the running loop. The channel stays the caller's to close.

    `metrics` is where it counts, and learns what the labels of the door's can be; None: nowhere.
    """
    metrics = metrics or Metrics({}, OF_THE_DOOR)
    drain = Drain()
    cors = Cors(settings.cors)
    bodies = BodyReader(settings.max_body, settings.body_timeout)
    stub = ChatCompletionServiceStub(channel)
    chats = ChatCompletions(stub, bodies, drain, settings.keepalive, metrics)
    models = Models(ModelServiceStub(channel))
    balance = Balance(AccountServiceStub(channel))
    health = Health(HealthStub(channel), drain)

    routes = Routes(
        [
            Route("POST", "/v1/chat/completions", chats.create, bodies.expect),
            Route("GET", "/v1/models", models.list),
            Route("GET", "/v1/models/{id}", models.get),
            Route("GET", "/v1/balance", balance.get),
            Route("GET", "/openapi.json", Description().get),
            Route("GET", "/livez", health.live),
            Route("GET", "/readyz", health.ready),
        ]
    )
    metrics.learn(known_labels(route.path for route in routes))
    metrics.follow(HTTP_ACTIVE_STREAMS, lambda: {(): chats.streams})
    log = logging.getLogger("llmbase.gateway")
    clock = asyncio.get_running_loop().time
    front = Front(routes, drain, cors, log, new_id or request_ids(), metrics, clock, tracer)
    return App(routes, front, drain)
