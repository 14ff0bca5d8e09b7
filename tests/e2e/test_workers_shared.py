"""Workers that count limits together and pay from one account: on a real Valkey and PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support import config as configuration
from tests.support.account_door import ADMIN
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.office import Office
from tests.support.openai_wire import says
from tests.support.postgres import Postgres
from tests.support.processes import running
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.stores import postgres_place
from tests.support.valkey import Valkey

WORKERS = 2
A_MINUTE = 6  # requests that the key may make
CALLS = 16  # each on its own connection: at one worker only is no chance of this world
COST = 12 * 1000 + 3 * 3200  # nano-dollars of an answer of 12 and 3 tokens
DOLLAR = 10**9

Doors = tuple[str, str]  # REST's and gRPC's addresses


@pytest.fixture
def doors(
    upstream: ScriptedUpstream, postgres: Postgres, valkey: Valkey, tmp_path: Path
) -> Iterator[Doors]:
    settings: dict[str, Any] = configuration.standard(upstream)
    boss = {"name": "boss", "sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "admin": True}
    settings |= {
        "store": {"url": postgres_place(postgres).url, "spool": str(tmp_path / "spool")},
        "shared": {"url": valkey.url, "timeout": "20s", "when_down": "closed"},
        "keys": [*settings["keys"], boss],
    }
    path = configuration.write(settings, tmp_path)
    places = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    flags = ("--config", str(path), *places, "--workers", str(WORKERS))
    with running("up", *flags, directory=tmp_path) as process:
        http, _, grpc, *_ = process.wait_until_ready(60)
        yield http, grpc
        assert process.stop() == 0, process.log
        assert "Traceback" not in process.log


async def test_a_key_has_one_rate_and_one_balance_whichever_worker_answers(
    doors: Doors, upstream: ScriptedUpstream
) -> None:
    http, grpc = doors
    office = Office(grpc)
    await office.account("zoo", dollars=1)
    _, secret = await office.key("zoo", models=["*"], requests_per_minute=A_MINUTE)
    upstream.on("glm-5", *[says("Hello")] * CALLS)

    answers = await asyncio.gather(*(_ask(http, secret) for _ in range(CALLS)))

    told = Counter(it.failure.code if it.failure is not None else "answer" for it in answers)
    assert told == {"answer": A_MINUTE, "rate_limit_exceeded": CALLS - A_MINUTE}
    sums = await office.settled("zoo", calls=A_MINUTE)
    assert sums.cost_nanos == A_MINUTE * COST
    async with RestDoor(http, secret) as door:
        balance = (await door.get("/v1/balance")).json
    assert balance["reserved"] == "0.000000000"
    assert Decimal(balance["balance"]) * DOLLAR == DOLLAR - A_MINUTE * COST
    await office.channel.close()


async def _ask(http: str, key: str) -> Answer:
    async with RestDoor(http, key) as door:
        return await door.ask(hello("zai-org/glm-5"), timeout=60)
