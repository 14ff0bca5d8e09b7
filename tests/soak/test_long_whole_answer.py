"""A whole answer that takes six minutes arrives, although clients ping and nothing else moves.

No virtual clock can show it: the pings are gRPC's own, and so is the patience with them.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support import config, deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import says
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Script, pause

SECONDS = 360
PINGS = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]

pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS + 120)]


async def test_a_whole_answer_of_six_minutes_survives_clients_that_ping(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("one", Script([says("Hello").body()], before=[pause(SECONDS)]))
    settings = config.standard(upstream)
    settings["providers"]["alpha"]["timeouts"] |= {"total": "10m"}
    patience = SECONDS + 60.0

    with (
        deployments.one_process(upstream, tmp_path / "up", settings) as up,
        deployments.sidecar(upstream, tmp_path / "sidecar", settings) as sidecar,
    ):
        began = time.monotonic()
        async with (
            GrpcDoor(up.grpc, KEY, PINGS) as grpc,
            RestDoor(up.http, KEY) as rest,
            RestDoor(sidecar.http, KEY) as through_sidecar,
        ):
            doors = (grpc, rest, through_sidecar)
            answers = await asyncio.gather(*(it.ask(hello(), timeout=patience) for it in doors))
        took = time.monotonic() - began

    assert [answer.text for answer in answers] == ["Hello"] * 3
    assert took >= SECONDS
    print(f"three whole answers after {took:.0f} s, with pings every 30 s over gRPC")
