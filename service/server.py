"""The composition root: build, start, drain, stop. Everything the service is made of meets here."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import grpc
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from llmbase.v1 import account_pb2, chat_completion_pb2, model_pb2, routing_pb2
from llmbase.v1.account_pb2_grpc import (
    add_AccountServiceServicer_to_server,
    add_KeyServiceServicer_to_server,
)
from llmbase.v1.chat_completion_pb2_grpc import add_ChatCompletionServiceServicer_to_server
from llmbase.v1.model_pb2_grpc import add_ModelServiceServicer_to_server
from llmbase.v1.routing_pb2_grpc import add_RoutingServiceServicer_to_server

from service.accounts.accounts import Accounts
from service.admission.admission import Admission
from service.config import Config, ServerConfig, TlsConfig
from service.generation import Generation
from service.idempotency.store import Store
from service.mendable import ConfigError
from service.providers import build
from service.providers.holdings import Holdings
from service.rpc import door, status
from service.rpc.account import AccountServicer
from service.rpc.answers import Answers
from service.rpc.calls import Calls
from service.rpc.chat_completion import ChatCompletionServicer
from service.rpc.current import Current
from service.rpc.desk import Desk
from service.rpc.key import KeyServicer
from service.rpc.model import ModelServicer
from service.rpc.routing import RoutingServicer
from service.rpc.tls import Certificates
from telemetry import metrics_listener
from telemetry.metrics import (
    BREAKERS,
    CONFIG_GENERATION,
    IN_FLIGHT,
    IN_FLIGHT_LIMIT,
    QUEUED,
    RETRY_BUDGET,
    Metrics,
)
from telemetry.metrics_listener import MetricsListener
from telemetry.tracing import NO_TRACER, Tracer

_CHANGEABLE = {"drain", "notice", "public_models"}  # of `server`; the rest needs a restart
_FIXED = ("store", "shared", "telemetry")  # what needs a restart as a whole
_FLUSH = 0.5  # seconds for the last statuses to leave once every call has ended

SERVICES = (
    chat_completion_pb2.DESCRIPTOR.services_by_name["ChatCompletionService"].full_name,
    model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    routing_pb2.DESCRIPTOR.services_by_name["RoutingService"].full_name,
    account_pb2.DESCRIPTOR.services_by_name["AccountService"].full_name,
    account_pb2.DESCRIPTOR.services_by_name["KeyService"].full_name,
)


class Stoppable(Protocol):
    """A server: gRPC's own or the in-process one."""

    async def stop(self, grace: float | None) -> None: ...  # noqa: D102


class Carried(Stoppable, Protocol):
    """A server whose calls come over gRPC's own server."""

    def open_on(self, server: grpc.aio.Server) -> None: ...  # noqa: D102


class Service:
    """Routing and provider calls behind gRPC. Built inside the running loop; raises ConfigError."""

    def __init__(
        self,
        config: Config,
        models_directory: Path,
        data_directory: Path,
        metrics: Metrics,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._models_directory = models_directory
        self._metrics = metrics
        self._listener: MetricsListener | None = None
        self._chance = random.SystemRandom()  # keys are made of it, too
        self._accounts = Accounts(config, data_directory, metrics, self._chance, status.reason)
        trusted = build.trust_all(config.providers)
        self._generation = self._next(config, Holdings(config, trusted))
        self._current = Current(self._generation)
        self._retiring: dict[Generation, asyncio.Task[None]] = {}
        self._admission = Admission(
            config.admission.max_in_flight, config.admission.max_queued, time.monotonic
        )
        accounts = self._accounts
        desk = Desk(accounts.limiter, self._admission, accounts.charging, time.monotonic, metrics)
        self._calls = Calls(self._current, time.monotonic, metrics, desk, tracer)
        self._store = Store(config.idempotency)
        answers = Answers(self._calls, self._store, metrics)
        self._chat = ChatCompletionServicer(self._calls, answers)
        self._routing = RoutingServicer(self._calls)
        self._models = ModelServicer(self._calls)
        self._money = AccountServicer(self._calls, self._accounts.registry)
        self._keys = KeyServicer(self._calls, self._accounts.registry)
        self._health = health.aio.HealthServicer()
        self._servers: list[Stoppable] = []
        self._tls_addresses: tuple[str, ...] = ()
        self._follow(metrics)

    @property
    def config(self) -> Config:
        """What new RPCs are answered by."""
        return self._generation.config

    @property
    def number(self) -> int:
        """How many configurations there have been, this one counted."""
        return self._generation.number

    def register(self, server: Any) -> None:
        """Add the services and their health to a server, gRPC's own or the in-process one."""
        add_ChatCompletionServiceServicer_to_server(self._chat, server)
        add_ModelServiceServicer_to_server(self._models, server)
        add_RoutingServiceServicer_to_server(self._routing, server)
        add_AccountServiceServicer_to_server(self._money, server)
        add_KeyServiceServicer_to_server(self._keys, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self._servers.append(server)

    async def start(
        self,
        addresses: tuple[str, ...],
        carried: tuple[Carried, ...] = (),
        *,
        reuse_port: bool = False,
    ) -> tuple[str, ...]:
        """Listen, and serve once every provider can answer. Returns the real addresses.

        `carried` are further ways to the same services, at the same addresses. `reuse_port` lets
        other processes of the same user listen there, too. Raises ConfigError (an address),
        EngineError (a local model).
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        told = self.config.server
        server = grpc.aio.server(options=door.options(told, reuse_port=reuse_port))
        self.register(door.Readable(server, self._calls))
        for further in carried:
            self.register(further)
            further.open_on(server)
        if told.reflection:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        if told.channelz:
            channelz.add_channelz_servicer(server)
        bound = tuple(_bind(server, address) for address in addresses)
        self._tls_addresses = _bind_tls(server, told.tls)
        await self._listen()
        await self._accounts.start(self.config, self._generation.prices)
        await server.start()
        await self._generation.holdings.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return bound

    @property
    def tls_addresses(self) -> tuple[str, ...]:
        """Where gRPC listens with TLS, once it has started."""
        return self._tls_addresses

    @property
    def metrics_address(self) -> str | None:
        """Where metrics are read, HOST:PORT; None if nowhere."""
        return self._listener.address if self._listener is not None else None

    async def reload(self, config: Config) -> tuple[str, ...]:
        """Answer new RPCs as `config` says; those that are open go on as they began.

        Returns the keys whose values need a restart: the old ones still hold. Raises ConfigError,
        EngineError, and then nothing has changed. Not to be called while it is running.
        """
        before = self._generation
        config, kept = _with_what_stays(config, before.config)
        holdings = Holdings(config, await asyncio.to_thread(build.trust_all, config.providers))
        try:
            generation = self._next(config, holdings, before)
            await holdings.start()
        except BaseException:
            await holdings.close()
            raise
        self._generation = self._current.generation = generation
        self._admission.resize(config.admission.max_in_flight, config.admission.max_queued)
        self._store.configure(config.idempotency)
        await self._accounts.configure(config, generation.prices)
        self._retire(before)
        return kept

    async def drain(self) -> None:
        """Refuse new calls and let the open ones finish; after `drain` seconds end the rest.

        For `notice` seconds before that new calls are taken, while health tells who asks it.
        """
        # The servers go on until the end: health is to say NOT_SERVING, and a refusal to say why.
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self.config.server.notice or 0)
        self._calls.refuse()
        self._store.drain()
        for seconds in (self.config.server.drain, _FLUSH):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._calls.ended()
            self._calls.cut()
        await asyncio.gather(*(server.stop(_FLUSH) for server in self._servers))

    async def close(self) -> None:
        """Close connections and engines; after `drain`, or instead of it when `start` failed."""
        await asyncio.gather(*(server.stop(None) for server in self._servers))
        await self._store.close()
        await self._accounts.close()
        self._retire(self._generation)
        for generation in self._retiring:
            generation.abandon()
        await asyncio.gather(*self._retiring.values())
        if self._listener is not None:
            await self._listener.close()

    def _follow(self, metrics: Metrics) -> None:
        """Have gauges read from whoever owns what they say."""
        admission = self._admission
        metrics.follow(IN_FLIGHT, lambda: {(): admission.in_flight})
        metrics.follow(IN_FLIGHT_LIMIT, lambda: {(): admission.limit})
        metrics.follow(QUEUED, lambda: {(key.value,): n for key, n in admission.waiting().items()})
        metrics.follow(BREAKERS, self._breakers)
        metrics.follow(RETRY_BUDGET, self._budgets)
        metrics.follow(CONFIG_GENERATION, lambda: {(): self.number})

    def _breakers(self) -> Mapping[tuple[str, ...], float]:
        return self._generation.board.breakers()

    def _budgets(self) -> Mapping[tuple[str, ...], float]:
        return self._generation.board.budgets()

    async def _listen(self) -> None:
        address = self.config.server.metrics
        if address is not None:
            try:
                self._listener = await metrics_listener.listen(self._metrics, address)
            except OSError as error:
                reason = f"cannot listen on {address}: {error.strerror}"
                raise ConfigError(f"server.metrics: {reason}") from None

    def _next(
        self, config: Config, holdings: Holdings, before: Generation | None = None
    ) -> Generation:
        number = 1 if before is None else before.number + 1
        earlier = before.holdings if before is not None else None
        holdings.open(self._models_directory, version("llmbase"), self._metrics, earlier)
        directory = self._accounts.directory
        return Generation(number, config, holdings, self._chance, self._metrics, directory, before)

    def _retire(self, generation: Generation) -> None:
        task = asyncio.get_running_loop().create_task(generation.retire())
        self._retiring[generation] = task
        task.add_done_callback(lambda _: self._retiring.pop(generation, None))

    async def _set_health(self, word: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", *SERVICES):
            await self._health.set(name, word)


def _with_what_stays(config: Config, before: Config) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration with the old values of what needs a restart, and those keys."""
    old, new = before.server, config.server
    fixed = ServerConfig.model_fields.keys() - _CHANGEABLE
    kept = {field: getattr(old, field) for field in sorted(fixed)}
    changed = tuple(f"server.{field}" for field in kept if getattr(new, field) != kept[field])
    changed += tuple(part for part in _FIXED if getattr(config, part) != getattr(before, part))
    parts = {part: getattr(before, part) for part in _FIXED}
    return config.model_copy(update={"server": new.model_copy(update=kept)} | parts), changed


def _bind_tls(server: grpc.aio.Server, tls: TlsConfig | None) -> tuple[str, ...]:
    if tls is None:
        return ()
    credentials = Certificates(tls).credentials()
    return tuple(_bind(server, address, credentials) for address in tls.grpc)


def _bind(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None
) -> str:
    try:
        if _wraps_around(address):
            port = 0
        elif credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        key = "server.grpc" if credentials is None else "server.tls.grpc"
        raise ConfigError(f"{key}: cannot listen on {address}: in use, or no address")
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


def _wraps_around(address: str) -> bool:
    """Whether a port is too large: gRPC would take what is left of it modulo 2^16."""
    port = address.rpartition(":")[2]
    return not address.startswith("unix:") and port.isdecimal() and int(port) > 65_535
