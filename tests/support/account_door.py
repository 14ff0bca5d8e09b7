"""AccountService and KeyService before a store, on a real port: without chat, without processes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
from llmbase.v1.account_pb2_grpc import (
    AccountServiceStub,
    KeyServiceStub,
    add_AccountServiceServicer_to_server,
    add_KeyServiceServicer_to_server,
)

from service.accounts.directory import KeyDirectory
from service.accounts.local_limits import LocalLimiter
from service.accounts.registry import Registry
from service.admission.admission import Admission
from service.config import KeyConfig
from service.rpc.account import AccountServicer
from service.rpc.authentication import Authenticator
from service.rpc.calls import Calls
from service.rpc.current import Current
from service.rpc.desk import Desk
from service.rpc.key import KeyServicer
from telemetry.metrics import Metrics

ADMIN = "llmbase_test-key-of-the-administrator-0123456789"
PLAIN = "llmbase_test-key-that-nobody-pays-for-0123456789"


class _Generation:
    """Knows an administrator's key, one that belongs to no account, and those in the store."""

    def __init__(self, directory: KeyDirectory) -> None:
        keys = [
            KeyConfig(name=name, sha256=hashlib.sha256(key.encode()).hexdigest(), admin=admin)
            for name, key, admin in (("admin", ADMIN, True), ("plain", PLAIN, False))
        ]
        self.authenticator = Authenticator(keys, directory=directory)
        self.public_models = True


def _calls(directory: KeyDirectory) -> Calls:
    generation: Any = _Generation(directory)
    limiter = LocalLimiter(lambda: 0, Metrics({}))
    desk = Desk(limiter, Admission(10, 0, lambda: 0.0), None, lambda: 0.0, Metrics({}))
    return Calls(Current(generation), lambda: 0.0, Metrics({}), desk)


@dataclass
class AccountDoor:
    """Stubs and the address they talk to."""

    address: str
    channel: grpc.aio.Channel
    accounts: Any
    keys: Any


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    """The metadata of whoever holds a key."""
    return (("authorization", f"Bearer {key}"),)


@contextlib.asynccontextmanager
async def account_door(
    registry: Registry | None, directory: KeyDirectory
) -> AsyncIterator[AccountDoor]:
    """Serve what a registry keeps until the context ends; None: nothing is kept."""
    calls = _calls(directory)
    server = grpc.aio.server()
    add_AccountServiceServicer_to_server(AccountServicer(calls, registry), server)
    add_KeyServiceServicer_to_server(KeyServicer(calls, registry), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            stubs = AccountServiceStub(channel), KeyServiceStub(channel)
            yield AccountDoor(address, channel, *stubs)
    finally:
        await server.stop(None)
