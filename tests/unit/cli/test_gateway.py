"""The gateway's options: flags win over the environment, the environment over the defaults."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import gateway
from cli.__main__ import main
from gateway.app import Settings
from gateway.connection import ServiceTls
from gateway.tls import TlsFiles
from relay.channel import RelayChannel
from telemetry.tracing import TracingSettings


@pytest.fixture
def served(monkeypatch):
    """Return what would be served, without serving it."""
    found = []

    async def serve(service, http, settings, tls, over, *, reuse_port):
        assert not reuse_port
        found.append((service, http, settings, tls, over))

    monkeypatch.setattr(gateway, "serve", serve)
    monkeypatch.setattr(gateway.log, "to_stderr", lambda level: None)
    return found


def _run(*arguments, **environment):
    return CliRunner(env=environment).invoke(main, ["gateway", *arguments])


def test_without_options_the_defaults_hold(served):
    assert _run().exit_code == 0
    told = ("127.0.0.1:50051", "127.0.0.1:8080", Settings(), ServiceTls(), RelayChannel)
    assert served == [told]


def test_the_environment_wins_over_the_defaults_and_a_flag_over_both(served):
    environment = {
        "LLMBASE_SERVICE": "unix:/run/s",
        "LLMBASE_HTTP": "[::1]:1",
        "LLMBASE_MAX_BODY": "5",
        "LLMBASE_CORS": "https://a, https://b,",
        "LLMBASE_KEEPALIVE": "2.5",
        "LLMBASE_DRAIN": "3",
        "LLMBASE_METRICS": "[::1]:2",
        "LLMBASE_TLS_CERT": "/c",
        "LLMBASE_TLS_KEY": "/k",
        "LLMBASE_SERVICE_CA": "/a",
        "LLMBASE_SERVICE_CERT": "/sc",
        "LLMBASE_SERVICE_KEY": "/sk",
    }
    settings = Settings(
        max_body=5,
        cors=("https://a", "https://b"),
        keepalive=2.5,
        drain=3.0,
        metrics="[::1]:2",
        tls=TlsFiles(Path("/c"), Path("/k")),
    )
    tls = ServiceTls(Path("/a"), Path("/sc"), Path("/sk"))
    assert _run(**environment).exit_code == 0
    assert served.pop() == ("unix:/run/s", "[::1]:1", settings, tls, RelayChannel)
    assert _run("--http", "h:2", "--cors", "*", **environment).exit_code == 0
    assert served[0][1] == "h:2"
    assert served[0][2].cors == ("*",)


def test_the_relay_can_be_switched_off_and_on_again(served):
    for flags, environment, over in [
        (("--no-relay",), {}, None),
        ((), {"LLMBASE_RELAY": "off"}, None),
        (("--relay",), {"LLMBASE_RELAY": "off"}, RelayChannel),
        ((), {"LLMBASE_RELAY": "on"}, RelayChannel),
    ]:
        assert _run(*flags, **environment).exit_code == 0
        assert served.pop()[4] is over


def test_where_traces_go_is_known_by_opentelemetrys_variable_too_and_an_empty_one_is_none(served):
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318", "LLMBASE_TRACE_SAMPLING": "0.5"}
    assert _run(**told).exit_code == 0
    assert served.pop()[2].traces == TracingSettings(
        "http://otel:4318", 0.5, service="llmbase-gateway"
    )
    assert _run(LLMBASE_TRACES="http://ours:4318", **told).exit_code == 0
    assert served.pop()[2].traces.endpoint == "http://ours:4318"
    assert _run(OTEL_EXPORTER_OTLP_ENDPOINT="").exit_code == 0
    assert served.pop()[2].traces is None


def test_a_place_for_traces_that_is_no_http_url_is_one_line():
    result = _run("--traces", "otel:4317")
    assert result.exit_code == 1
    assert result.output == "Error: traces: the OTLP endpoint must be an http(s) URL\n"


@pytest.mark.parametrize("option", [("--max-body", "much"), ("--keepalive", "0")])
def test_a_wrong_option_is_named(served, option):
    result = _run(*option)
    assert result.exit_code == 2
    assert option[0] in result.output
    assert served == []


@pytest.mark.parametrize("option", [("--http", "nowhere"), ("--service", "unix:")])
def test_what_is_no_address_is_one_line(option):
    result = _run(*option)
    assert result.exit_code == 1
    assert result.output.startswith("Error: not an address")
