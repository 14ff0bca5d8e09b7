"""Alive, and ready: what probes are told."""

from __future__ import annotations

import time

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.unit.gateway.scripted_service import Gateway


async def test_a_door_before_a_serving_service_is_ready(gateway: Gateway) -> None:
    reply = await gateway.request("GET", "/readyz")

    assert (reply.status, reply.json) == (200, {"status": "ok"})
    asked = gateway.service.calls[-1]
    assert asked.request.service == "llmbase.v1.ChatCompletionService"
    # Less than the probes of the manifests wait, and not so little that a busy service is none.
    assert asked.seconds is not None and 2 <= asked.seconds < 4


@pytest.mark.parametrize(
    "status", [HealthCheckResponse.NOT_SERVING, HealthCheckResponse.SERVICE_UNKNOWN]
)
async def test_a_door_before_another_service_is_alive_but_not_ready(
    status: int, gateway: Gateway
) -> None:
    gateway.service.health = status

    ready, live = [await gateway.request("GET", path) for path in ("/readyz", "/livez")]

    assert (ready.status, ready.json) == (503, {"status": "unavailable"})
    assert (live.status, live.json) == (200, {"status": "ok"})


async def test_a_service_that_does_not_answer_is_not_waited_for(gateway: Gateway) -> None:
    gateway.service.answers_health = False
    began = time.monotonic()

    reply = await gateway.request("GET", "/readyz")

    assert reply.status == 503
    assert time.monotonic() - began < 10


async def test_probes_need_no_key_and_ask_nothing_of_a_live_door(gateway: Gateway) -> None:
    await gateway.request("GET", "/livez")

    assert not gateway.service.calls
