"""The listener of metrics in the real process: what it counts, and where it cannot be had."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.metrics_page import counted, series
from tests.support.openai_wire import refuses, says
from tests.support.processes import running
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Script

PORTS = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")


@pytest.fixture
def up(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Deployment]:
    config = configuration.standard(upstream, metrics="127.0.0.1:0")
    config["providers"]["narrow"] = {"dialect": "ollama", "base_url": upstream.url("/narrow")}
    config["models"]["test/narrow"] = configuration.model(("narrow", "narrow"))
    with deployments.one_process(upstream, tmp_path, config) as deployment:
        yield deployment


def page(deployment: Deployment) -> bytes:
    with urllib.request.urlopen(f"http://{deployment.metrics}/metrics", timeout=10) as answer:
        body: bytes = answer.read()
    return body


async def test_calls_of_both_doors_are_counted_by_how_they_ended(
    up: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hi"))
    async with RestDoor(up.http, KEY) as rest, GrpcDoor(up.grpc, KEY) as grpc:
        await rest.ask(hello())
        await rest.ask(hello(stream=True))
        await grpc.ask(hello())
        await rest.get("/v1/models")
        await grpc.ask(hello("test/none"))
    async with RestDoor(up.http, None) as stranger:
        await stranger.ask(hello())
    assert counted(page(up), "llmbase_calls_total") == {
        ("CreateChatCompletion", "OK"): 2,
        ("StreamChatCompletion", "OK"): 1,
        ("ListModels", "OK"): 1,
        ("CreateChatCompletion", "MODEL_NOT_FOUND"): 1,
        ("CreateChatCompletion", "MISSING_API_KEY"): 1,
    }


async def test_a_provider_that_refuses_our_key_is_an_alert_even_if_the_next_one_answers(
    up: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("first", refuses(401), refuses(403), refuses(500))
    upstream.on("second", says("Hi"))
    assert series(page(up))["llmbase_provider_alerts_total", ("alpha", "401")] == 0
    async with RestDoor(up.http, KEY) as rest:
        for _ in range(3):
            assert (await rest.ask(hello("test/two"))).failure is None
    assert counted(page(up), "llmbase_provider_alerts_total") == {
        ("alpha", "401"): 1,
        ("alpha", "403"): 1,
    }


async def test_what_either_door_leaves_out_is_counted_by_names_we_know(
    up: Deployment, upstream: ScriptedUpstream
) -> None:
    answer = b'{"message":{"content":"Hi"},"done":true,"done_reason":"stop"}'
    upstream.on("narrow", Script([answer]))
    asked = hello("test/narrow", verbosity="low", made_up_by_a_caller=1, logit_bias={"1": 1})
    async with RestDoor(up.http, KEY) as rest:
        assert (await rest.ask(asked)).failure is None
    assert counted(page(up), "llmbase_ignored_parameters_total") == {
        ("verbosity",): 1,
        ("logit_bias",): 1,
        ("other",): 1,
    }


def test_the_service_alone_says_where_its_metrics_are(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    path = configuration.write(configuration.standard(upstream, metrics="127.0.0.1:0"), tmp_path)
    flags = ("--config", str(path), "--grpc", "127.0.0.1:0")
    with running("service", *flags, directory=tmp_path) as service:
        word, _, name, address = service.wait_until_ready()
        assert (word, name) == ("grpc", "metrics")
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            assert b"# TYPE llmbase_calls_total counter" in answer.read()


def test_no_door_of_the_callers_has_the_metrics(up: Deployment) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{up.http}/metrics", timeout=10)


def test_an_address_in_use_is_named_by_its_key(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = configuration.write(configuration.standard(upstream, metrics=address), tmp_path)
        with running("up", "--config", str(path), *PORTS, directory=tmp_path) as process:
            assert process.wait() == 1
            said = f"server.metrics: cannot listen on {address}: Address already in use"
            assert said in process.log
            assert process.log.count("\n") == 1


def test_a_gateway_that_stands_alone_counts_at_a_listener_of_its_own(tmp_path: Path) -> None:
    flags = ("--http", "127.0.0.1:0", "--service", f"unix:{tmp_path}/nobody.sock")
    environment = {"LLMBASE_METRICS": "127.0.0.1:0"}
    with running("gateway", *flags, directory=tmp_path, environment=environment) as gateway:
        http, name, address = gateway.wait_until_ready()
        assert name == "metrics"
        with urllib.request.urlopen(f"{http}/livez", timeout=10) as answer:
            answer.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{http}/metrics", timeout=10)
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            body = answer.read()
    assert counted(body, "llmbase_http_requests_total") == {
        ("200", "/livez"): 1,
        ("404", "other"): 1,
    }
    assert b"llmbase_calls_total" not in body


def test_a_gateways_address_for_metrics_that_is_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = ("--http", "127.0.0.1:0", "--metrics", address)
        with running("gateway", *flags, directory=tmp_path) as process:
            assert process.wait() == 1
            assert f"{address}: Address already in use" in process.log
            assert process.log.count("\n") == 1
