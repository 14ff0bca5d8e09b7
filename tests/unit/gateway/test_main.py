"""The process of its own: what it reads, prints and returns."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from typing import Any

import pytest

from gateway import __main__ as process
from gateway.app import Settings
from gateway.log import JsonLines


def parsed(monkeypatch: pytest.MonkeyPatch, *argv: str) -> tuple[str, str, Settings]:
    """What `main` would run, without running it."""
    ran: list[Any] = []

    async def run(service: str, http: str, settings: Settings) -> int:
        ran.append((service, http, settings))
        return 7

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(process.log, "configure", lambda: None)
    assert process.main(argv) == 7
    found: tuple[str, str, Settings] = ran[0]
    return found


def test_without_arguments_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed(monkeypatch) == ("127.0.0.1:50051", "127.0.0.1:8080", Settings())


def test_the_environment_wins_over_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SERVICE": "unix:/run/s",
        "HTTP": "[::1]:1",
        "MAX_BODY": "5",
        "CORS": "https://a, https://b,",
        "KEEPALIVE": "2.5",
        "DRAIN": "3",
    }.items():
        monkeypatch.setenv(f"LLMBASE_{name}", value)

    settings = Settings(max_body=5, cors=("https://a", "https://b"), keepalive=2.5, drain=3.0)
    assert parsed(monkeypatch) == ("unix:/run/s", "[::1]:1", settings)


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMBASE_HTTP", "h:1")
    monkeypatch.setenv("LLMBASE_CORS", "https://a")

    _, http, settings = parsed(monkeypatch, "--http", "h:2", "--cors", "*")

    assert (http, settings.cors) == ("h:2", ("*",))


@pytest.mark.parametrize(
    "argv", [("--http", "nowhere"), ("--service", "unix:"), ("--max-body", "much")]
)
def test_a_wrong_argument_is_named(
    argv: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(monkeypatch, *argv)

    assert caught.value.code == 2
    assert argv[0] in capsys.readouterr().err


async def spawn(*argv: str) -> asyncio.subprocess.Process:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LLMBASE_")}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *argv, stdout=pipe, stderr=pipe, env=environment
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_says_where_it_listens_and_stops_on_a_signal(
    number: signal.Signals,
) -> None:
    gateway = await spawn("--http", "127.0.0.1:0", "--service", "unix:/nonexistent")
    assert gateway.stdout is not None and gateway.stderr is not None
    ready = (await gateway.stdout.readline()).decode()
    host, port = ready.removeprefix("ready http://").strip().split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()

    gateway.send_signal(number)
    logged = (await gateway.stderr.read()).decode()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert await gateway.wait() == 0
    line = json.loads(logged)
    assert (line["message"], line["route"], line["status"]) == ("request", "/livez", 200)


async def test_an_address_in_use_is_one_line_and_exit_code_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        gateway = await spawn("--http", address)
        out, err = await gateway.communicate()

    assert gateway.returncode == 1
    assert out == b""
    assert err.decode().count("\n") == 1
    assert address in err.decode()


def test_a_logged_exception_is_its_type_and_place() -> None:
    try:
        raise ValueError("secret")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())

    line = json.loads(JsonLines().format(record))

    assert (line["level"], line["message"], line["fault"]) == ("error", "failed", "ValueError")
    assert "secret" not in json.dumps(line)
    assert "test_main.py" in line["at"][-1]
