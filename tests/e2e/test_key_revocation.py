"""Replicas that share a PostgreSQL feel each other's changes within the promised five seconds."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from llmbase.v1 import account_pb2 as pb
from llmbase.v1.account_pb2_grpc import AccountServiceStub, KeyServiceStub

from tests.support.account_door import ADMIN, bearer
from tests.support.account_server import account_server
from tests.support.failures import reason_of

PROMISED = 5.0  # seconds


@pytest.fixture
def replicas(postgres):
    """The addresses of two processes, one store."""
    url = postgres.new_database()
    with account_server(url) as first, account_server(url) as second:
        yield first, second


async def _asks(channel: grpc.aio.Channel, secret: str) -> str:
    try:
        stub = AccountServiceStub(channel)
        await stub.GetBalance(pb.GetBalanceRequest(), metadata=bearer(secret))
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return "OK"


async def _seconds_until(channel: grpc.aio.Channel, secret: str, outcome: str) -> float:
    began = time.monotonic()
    while await _asks(channel, secret) != outcome:
        assert time.monotonic() - began < 10 * PROMISED
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def test_a_key_is_known_revoked_and_rotated_in_every_replica(replicas):
    admin = bearer(ADMIN)
    async with (
        grpc.aio.insecure_channel(replicas[0]) as here,
        grpc.aio.insecure_channel(replicas[1]) as there,
    ):
        keys = KeyServiceStub(here)
        account = pb.CreateAccountRequest(id="zoo")
        await AccountServiceStub(here).CreateAccount(account, metadata=admin)
        taken = []
        for _ in range(3):
            request = pb.CreateKeyRequest(account="zoo", name="ci")
            made = await keys.CreateKey(request, metadata=admin)
            assert await _asks(there, made.secret) == "OK"  # a new key: there is nothing to forget
            turned = await keys.RotateKey(pb.RotateKeyRequest(id=made.key.id), metadata=admin)
            assert await _asks(there, turned.secret) == "OK"
            assert await _asks(here, made.secret) == "INVALID_API_KEY"
            taken.append(await _seconds_until(there, made.secret, "INVALID_API_KEY"))
            await keys.RevokeKey(pb.RevokeKeyRequest(id=turned.key.id), metadata=admin)
            assert await _asks(here, turned.secret) == "INVALID_API_KEY"
            taken.append(await _seconds_until(there, turned.secret, "INVALID_API_KEY"))
        assert min(taken) < PROMISED
