"""The process of its own: what it reads, prints and returns."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys

import pytest

from telemetry.log import JsonLines


async def spawn(*argv: str) -> asyncio.subprocess.Process:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LLMBASE_")}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "gateway", *argv, stdout=pipe, stderr=pipe, env=environment
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
    assert "test_process.py" in line["at"][-1]
