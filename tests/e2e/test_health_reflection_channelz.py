"""What operators and tools ask: health, readiness, reflection, channelz; and unknown paths."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support import config
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.processes import Process, running
from tests.support.rest_door import PATH, RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

CHAT, MODELS = "llmbase.v1.ChatCompletionService", "llmbase.v1.ModelService"
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(params=["one_process", "sidecar"])
def either(request: pytest.FixtureRequest) -> Deployment:
    """Each shape in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Deployment)
    return found


@pytest.mark.parametrize("service", ["", CHAT, MODELS])
async def test_health_is_told_for_each_service_without_a_key(
    service: str, either: Deployment
) -> None:
    async with grpc.aio.insecure_channel(either.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))

    assert answer.status == SERVING


async def test_health_of_an_unknown_service_is_not_found(either: Deployment) -> None:
    async with grpc.aio.insecure_channel(either.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))

    assert error.value.code() == grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_and_describes_the_services(either: Deployment) -> None:
    listing = reflection_pb2.ServerReflectionRequest(list_services="")
    asking = reflection_pb2.ServerReflectionRequest(file_containing_symbol=CHAT)
    async with grpc.aio.insecure_channel(either.grpc) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)

        answers = [answer async for answer in stub.ServerReflectionInfo(iter([listing, asking]))]

    named = {service.name for service in answers[0].list_services_response.service}
    assert {CHAT, MODELS, "grpc.health.v1.Health"} <= named
    assert b"StreamChatCompletion" in answers[1].file_descriptor_response.file_descriptor_proto[0]


async def test_channelz_shows_the_server(either: Deployment) -> None:
    async with grpc.aio.insecure_channel(either.grpc) as channel:
        stub = channelz_pb2_grpc.ChannelzStub(channel)

        answer = await stub.GetServers(channelz_pb2.GetServersRequest())

    assert answer.server[0].data.calls_started >= 1


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_probe_needs_no_key(path: str, either: Deployment) -> None:
    async with RestDoor(either.http, None) as door:
        assert (await door.get(path)).status == 200


async def test_no_probe_asks_a_provider(either: Deployment, upstream: ScriptedUpstream) -> None:
    # A check of every provider at once, by every prober, is an outage of its own.
    async with RestDoor(either.http, None) as door:
        for path in ("/livez", "/readyz") * 20:
            await door.get(path)
    async with grpc.aio.insecure_channel(either.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", CHAT) * 20:
            await stub.Check(health_pb2.HealthCheckRequest(service=service))
    async with RestDoor(either.http, KEY) as door:
        assert (await door.get("/v1/models?metadata=true")).status == 200

    assert upstream.requests == []


async def test_a_gateway_is_alive_but_not_ready_without_its_service(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    path = config.write(config.standard(upstream), tmp_path)
    socket = f"unix:{tmp_path / 'late.sock'}"
    flags = ("--service", socket, "--http", "127.0.0.1:0")

    with running("gateway", *flags, directory=tmp_path) as gateway:
        (http,) = gateway.wait_until_ready()
        async with RestDoor(http, config.KEY) as door:
            assert (await door.get("/livez")).status == 200
            assert (await door.get("/readyz")).status == 503
            refused = await door.send(b'{"model":"test/one","messages":[]}')
            assert (refused.status, refused.failure.code) == (503, "service_unavailable")

            service = Process(
                "service", "--config", str(path), "--grpc", socket, directory=tmp_path
            )
            try:
                service.wait_until_ready()
                await _until_ready(door)
            finally:
                service.stop()

            assert (await door.get("/readyz")).status == 503
            assert (await door.get("/livez")).status == 200


async def _until_ready(door: RestDoor) -> None:
    """The gateway connects again by itself; how soon is not the subject here."""
    while (await door.get("/readyz")).status != 200:
        assert (await door.get("/livez")).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nothing", "/chat/completions", "/v1/chat", "/metrics"]
)
async def test_an_unknown_path_is_not_found(path: str, any_rest_door: RestDoor) -> None:
    failure = (await any_rest_door.get(path)).failure

    assert (failure.status, failure.type, failure.code) == (
        404,
        "invalid_request_error",
        "unknown_url",
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", PATH, "POST"), ("PUT", PATH, "POST"), ("POST", "/v1/models", "GET")],
)
async def test_a_wrong_method_is_told_the_right_one(
    method: str, path: str, allowed: str, any_rest_door: RestDoor
) -> None:
    async with any_rest_door.session.request(method, path) as response:
        envelope = await response.json()

    assert response.status == 405
    assert allowed in response.headers["Allow"]
    assert envelope["error"]["code"] == "method_not_allowed"
    assert envelope["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", ["responses", "embeddings", "completions"])
async def test_an_endpoint_of_openai_that_is_missing_is_named(
    name: str, any_rest_door: RestDoor
) -> None:
    async with any_rest_door.session.post(f"/v1/{name}", json={}) as response:
        envelope = await response.json()

    assert response.status == 404
    assert envelope["error"]["code"] == "unknown_url"
    assert f"/v1/{name}" in envelope["error"]["message"]


async def test_a_service_listens_at_every_address_of_its_configuration(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    socket = tmp_path / "both.sock"
    addresses = {"grpc": ["127.0.0.1:0", f"unix:{socket}"]}
    path = config.write(config.standard(upstream, **addresses), tmp_path)

    with running("service", "--config", str(path), directory=tmp_path) as service:
        words = service.wait_until_ready()
        assert words[0] == "grpc"
        for target in words[1:]:
            async with grpc.aio.insecure_channel(target) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = await stub.Check(health_pb2.HealthCheckRequest())
                assert answer.status == SERVING
        assert len(words) == 3
