"""The composition root: build, start, drain, stop. Everything the service is made of meets here."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import grpc
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from llmbase.v1 import chat_completion_pb2, model_pb2, routing_pb2
from llmbase.v1.chat_completion_pb2_grpc import add_ChatCompletionServiceServicer_to_server
from llmbase.v1.model_pb2_grpc import add_ModelServiceServicer_to_server
from llmbase.v1.routing_pb2_grpc import add_RoutingServiceServicer_to_server

from service.config import Config
from service.config_file import ConfigError
from service.providers import build
from service.providers.images import ImageFetcher
from service.routing.board import Board
from service.routing.dispatcher import Dispatcher
from service.routing.router import Router
from service.rpc.authentication import Authenticator
from service.rpc.calls import Calls
from service.rpc.chat_completion import ChatCompletionServicer
from service.rpc.model import ModelServicer
from service.rpc.routing import RoutingServicer
from telemetry import metrics_listener
from telemetry.metrics import Metrics
from telemetry.metrics_listener import MetricsListener

_LARGEST_MESSAGE = (
    64 * 2**20
)  # bytes: twice the gateway's body limit; gRPC's own 4 MiB breaks images
_FLUSH = 0.5  # seconds for the last statuses to leave once every call has ended

SERVICES = (
    chat_completion_pb2.DESCRIPTOR.services_by_name["ChatCompletionService"].full_name,
    model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    routing_pb2.DESCRIPTOR.services_by_name["RoutingService"].full_name,
)

_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    ("grpc.so_reuseport", 0),  # an address in use is an error, not a second server
    ("grpc.enable_channelz", 1),
    # Clients ping through minutes-long unary calls; the default answers that with a GOAWAY.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Stoppable(Protocol):
    """A server: gRPC's own or the in-process one."""

    async def stop(self, grace: float | None) -> None: ...  # noqa: D102


class Service:
    """Routing and provider calls behind gRPC. Built inside the running loop; raises ConfigError."""

    def __init__(self, config: Config, models_directory: Path, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._listener: MetricsListener | None = None
        build.check(config.providers)
        trusted = {name: build.trust(name, it) for name, it in config.providers.items()}
        self._engines = build.engines(config.providers, models_directory)
        self._images = ImageFetcher(config.images)
        release = version("llmbase")
        self._providers = {
            name: build.build(
                name, it, trusted[name], self._engines.get(name), self._images, metrics, release
            )
            for name, it in config.providers.items()
        }
        chance = random.SystemRandom()
        board = Board(config.providers, time.monotonic, chance)
        router = Router(config.models, self._providers, board)
        dispatcher = Dispatcher(router, time.time, time.monotonic, chance, metrics)
        self._calls = Calls(Authenticator(config.keys), time.monotonic, metrics)
        self._chat = ChatCompletionServicer(self._calls, router, dispatcher)
        self._routing = RoutingServicer(self._calls, router, dispatcher)
        self._models = ModelServicer(self._calls, router, public=config.server.public_models)
        self._health = health.aio.HealthServicer()
        self._servers: list[Stoppable] = []

    def register(self, server: Any) -> None:
        """Add the services and their health to a server, gRPC's own or the in-process one."""
        add_ChatCompletionServiceServicer_to_server(self._chat, server)
        add_ModelServiceServicer_to_server(self._models, server)
        add_RoutingServiceServicer_to_server(self._routing, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self._servers.append(server)

    async def start(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Listen, and serve once every provider can answer. Returns the real addresses.

        Raises ConfigError (an address), EngineError (a local model).
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        server = grpc.aio.server(options=_OPTIONS)
        self.register(server)
        reflection.enable_server_reflection(
            (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        channelz.add_channelz_servicer(server)
        bound = tuple(_bind(server, address) for address in addresses)
        await self._listen()
        await server.start()
        await asyncio.gather(*(engine.start() for engine in self._engines.values()))
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return bound

    @property
    def metrics_address(self) -> str | None:
        """Where metrics are read, HOST:PORT; None if nowhere."""
        return self._listener.address if self._listener is not None else None

    async def drain(self) -> None:
        """Refuse new calls and let the open ones finish; after `drain` seconds end the rest."""
        # The servers go on until the end: health is to say NOT_SERVING, and a refusal to say why.
        await self._health.enter_graceful_shutdown()
        self._calls.refuse()
        for seconds in (self._config.server.drain, _FLUSH):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._calls.ended()
            self._calls.cut()
        await asyncio.gather(*(server.stop(_FLUSH) for server in self._servers))

    async def close(self) -> None:
        """Close connections and engines; after `drain`, or instead of it when `start` failed."""
        await asyncio.gather(*(server.stop(None) for server in self._servers))
        await asyncio.gather(*(provider.close() for provider in self._providers.values()))
        await self._images.close()
        await asyncio.gather(*(engine.stop() for engine in self._engines.values()))
        if self._listener is not None:
            await self._listener.close()

    async def _listen(self) -> None:
        address = self._config.server.metrics
        if address is not None:
            try:
                self._listener = await metrics_listener.listen(self._metrics, address)
            except OSError as error:
                reason = f"cannot listen on {address}: {error.strerror}"
                raise ConfigError(f"server.metrics: {reason}") from None

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", *SERVICES):
            await self._health.set(name, status)


def _bind(server: grpc.aio.Server, address: str) -> str:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if port == 0:
        raise ConfigError(f"server.grpc: cannot listen on {address}: in use, or no address")
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
