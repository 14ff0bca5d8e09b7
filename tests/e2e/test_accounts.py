"""Accounts and keys of a running product: made, paid with, ended; through every door."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from click.testing import CliRunner
from llmbase.v1 import account_pb2 as pb
from llmbase.v1.account_pb2_grpc import AccountServiceStub, KeyServiceStub

from cli.__main__ import main
from tests.conftest import Entrance
from tests.support import config as configuration
from tests.support import deployments
from tests.support.account_door import ADMIN, bearer
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.failures import reason_of
from tests.support.openai_wire import says
from tests.support.postgres import PASSWORD
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shared import PROJECT

DOLLAR = 10**9
# 12 tokens at $0.000001 and 3 at $0.0000032.
COST = 12 * 1000 + 3 * 3200
_ADMIN = {"name": "boss", "sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "admin": True}


def _settings(upstream: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    settings = configuration.standard(upstream)
    del settings["store"]
    return settings | {"keys": [*settings["keys"], _ADMIN]} | more


@pytest.fixture(params=["grpc", "rest", "sidecar"])
def entrance(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> Iterator[Entrance]:
    """Each way in, before a product with a store of its own."""
    shape = deployments.sidecar if request.param == "sidecar" else deployments.one_process
    with shape(upstream, tmp_path, _settings(upstream)) as deployment:
        yield Entrance(request.param, deployment)


class Office:
    """An administrator, over gRPC."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.aio.insecure_channel(target)
        self._accounts = AccountServiceStub(self.channel)
        self._keys = KeyServiceStub(self.channel)

    async def account(self, account: str, dollars: int = 0, *, prepaid: bool = True) -> None:
        made = pb.CreateAccountRequest(id=account, prepaid=prepaid)
        await self._accounts.CreateAccount(made, metadata=bearer(ADMIN))
        if dollars:
            credit = pb.CreditAccountRequest(account=account, amount_nanos=dollars * DOLLAR)
            await self._accounts.CreditAccount(credit, metadata=bearer(ADMIN))

    async def key(self, account: str, **fields: Any) -> tuple[str, str]:
        request = pb.CreateKeyRequest(account=account, name="ci", **fields)
        made = await self._keys.CreateKey(request, metadata=bearer(ADMIN))
        return made.key.id, made.secret

    async def revoke(self, key_id: str) -> None:
        await self._keys.RevokeKey(pb.RevokeKeyRequest(id=key_id), metadata=bearer(ADMIN))

    async def settled(self, account: str, calls: int) -> pb.UsageRow:
        """The account's sums, once so many calls are in them."""
        request = pb.ListUsageRequest(account=account, group_by=[pb.USAGE_GROUP_ACCOUNT])
        while True:
            answer = await self._accounts.ListUsage(request, metadata=bearer(ADMIN))
            if answer.rows and answer.rows[0].calls >= calls:
                return answer.rows[0]
            await asyncio.sleep(0.02)


def _stores(directory: Path) -> list[Path]:
    return list(directory.rglob("llmbase.db"))


async def _answered(door: RestDoor) -> None:
    """Ask until there is an answer."""
    while True:
        if (await door.ask(hello("test/one"))).failure is None:
            return
        await asyncio.sleep(0.05)


async def test_an_account_is_made_pays_and_its_key_ends(
    entrance: Entrance, upstream: ScriptedUpstream
) -> None:
    office = Office(entrance.deployment.grpc)
    await office.account("zoo", dollars=1)
    key_id, secret = await office.key("zoo", models=["zai-org/*"])
    upstream.on("glm-5", says("Hello"))
    async with entrance.open(secret) as door, RestDoor(entrance.deployment.http, secret) as rest:
        assert (await rest.get("/v1/balance")).json == {
            "object": "balance",
            "currency": "USD",
            "balance": "1.000000000",
            "reserved": "0.000000000",
        }
        for stream in (False, True):
            answer = await door.ask(hello("zai-org/glm-5", stream=stream))
            assert answer.failure is None and answer.choices[0].text == "Hello"
        assert (await door.ask(hello("test/one"))).failure.code == "model_not_allowed"
        sums = await office.settled("zoo", calls=2)
        assert (sums.prompt_tokens, sums.completion_tokens, sums.cost_nanos) == (24, 6, 2 * COST)
        balance = (await rest.get("/v1/balance")).json
        assert (balance["balance"], balance["reserved"]) == ("0.999956800", "0.000000000")
        await office.revoke(key_id)
        refused = await door.ask(hello("zai-org/glm-5"))
        assert (refused.failure.status, refused.failure.code) == (401, "invalid_api_key")
        assert (await rest.get("/v1/balance")).status == 401
    await office.channel.close()


async def test_who_belongs_to_no_account_has_no_balance_and_who_sends_no_key_is_told_so(
    entrance: Entrance,
) -> None:
    async with RestDoor(entrance.deployment.http, KEY) as rest:
        reply = await rest.get("/v1/balance")
        assert (reply.status, reply.json["error"]["code"]) == (404, "account_not_found")
    async with RestDoor(entrance.deployment.http, None) as rest:
        reply = await rest.get("/v1/balance")
        assert (reply.status, reply.json["error"]["code"]) == (401, "missing_api_key")


async def test_a_restart_forgets_nothing(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    settings = _settings(upstream)
    with deployments.one_process(upstream, tmp_path, settings) as deployment:
        office = Office(deployment.grpc)
        await office.account("zoo", dollars=3)
        _, secret = await office.key("zoo")
        await office.channel.close()
    with deployments.one_process(upstream, tmp_path, settings) as deployment:
        async with RestDoor(deployment.http, secret) as rest:
            assert (await rest.get("/v1/balance")).json["balance"] == "3.000000000"


async def test_without_a_store_static_keys_work_and_accounts_are_not_kept(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    settings = _settings(upstream, store=None)
    with deployments.one_process(upstream, tmp_path, settings) as deployment:
        upstream.on("one", says("Hello"))
        async with RestDoor(deployment.http, KEY) as rest:
            assert (await rest.ask(hello("test/one"))).failure is None
            reply = await rest.get("/v1/balance")
        assert reply.status == 503
        assert "Accounts are not kept here" in reply.json["error"]["message"]
        office = Office(deployment.grpc)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await office.account("zoo")
        assert reason_of(raised.value) == "SERVICE_UNAVAILABLE"
        await office.channel.close()
    assert not _stores(tmp_path)


async def test_while_postgres_is_away_no_key_is_called_invalid_and_known_ones_go_on(
    upstream: ScriptedUpstream, tmp_path: Path, postgres: Any
) -> None:
    settings = _settings(upstream, store={"url": postgres.new_database()})
    upstream.on("one", says("Hello"))
    try:
        with deployments.one_process(upstream, tmp_path, settings) as deployment:
            office = Office(deployment.grpc)
            await office.account("free", prepaid=False)
            key_id, known = await office.key("free")
            _, unseen = await office.key("free")
            async with (
                RestDoor(deployment.http, known) as knows,
                RestDoor(deployment.http, unseen) as others,
                RestDoor(deployment.http, "llmbase_" + "x" * 43) as strangers,
            ):
                assert (await knows.ask(hello("test/one"))).failure is None
                postgres.stop()
                for _ in range(3):
                    assert (await knows.ask(hello("test/one"))).failure is None
                    for door in (others, strangers):
                        failure = (await door.ask(hello("test/one"))).failure
                        assert (failure.status, failure.code) == (503, "service_unavailable")
                        assert failure.retry_after
                postgres.start_again()
                await _answered(others)
                assert (await strangers.ask(hello("test/one"))).failure.status == 401
                assert (await office.settled("free", calls=5)).calls == 5
                await office.revoke(key_id)
                assert (await knows.ask(hello("test/one"))).failure.status == 401
            await office.channel.close()
    finally:
        postgres.start_again()


async def test_no_secret_is_in_a_log_a_command_line_or_a_check(
    upstream: ScriptedUpstream, tmp_path: Path, postgres: Any
) -> None:
    settings = _settings(upstream, store={"url": postgres.new_database()})
    environment = {"LLMBASE_LOG_LEVEL": "debug"}
    upstream.on("one", says("Hello"))
    with deployments.one_process(
        upstream, tmp_path, settings, environment=environment
    ) as deployment:
        office = Office(deployment.grpc)
        await office.account("zoo", prepaid=False)
        key_id, secret = await office.key("zoo")
        async with RestDoor(deployment.http, secret) as rest:
            assert (await rest.ask(hello("test/one"))).failure is None
            await rest.get("/v1/balance")
            await office.revoke(key_id)
            refused = await rest.ask(hello("test/one"))
        (process,) = deployment.processes
        running = psutil.Process(process.pid)
        seen = [" ".join(p.cmdline()) for p in (running, *running.children(recursive=True))]
        await office.channel.close()
    checked = CliRunner().invoke(main, ["check", str(tmp_path / "llmbase.yaml")])
    assert checked.exit_code == 0
    for text in (process.log, process.out, *seen, checked.output, refused.failure.message):
        for hidden in (secret, ADMIN, PASSWORD):
            assert hidden not in text


async def test_the_pages_first_example_does_what_it_says(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    page = (PROJECT / "docs" / "accounts.md").read_text()
    (block,) = re.findall(r"```sh\n(export .*?)```", page, re.DOTALL)
    _, _, commands = block.partition("\n")  # without the key, which is the test's own
    with deployments.one_process(upstream, tmp_path, _settings(upstream)) as deployment:
        script = commands.replace("http://127.0.0.1:8080", deployment.http)
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LLMBASE_API_KEY": ADMIN,
            "LLMBASE_SERVICE": deployment.grpc,
        }
        process = await asyncio.create_subprocess_exec(
            *("sh", "-euc", script),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert b'"balance":"25.000000000"' in out
    assert b"No calls were settled" in err
