"""The life of the embedded engine: it comes back when it dies, and goes when its parent does."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psutil
import pytest
import uvloop

from tests.support.embedded_client import Client, engine_processes, new_engine
from tests.support.local_model import require_local_model

pytestmark = pytest.mark.local_model


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_killed_engine_comes_back_and_quotes_nobody(
    new_loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
):
    require_local_model()
    # The engine prints a pattern that it does not support; so its log can quote its callers.
    schema = {"type": "string", "pattern": "^(confidential["}
    quoted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    async def main() -> None:
        engine = new_engine()
        others = {process.pid for process in engine_processes()}
        await engine.start()
        client = Client(engine)
        try:
            await client.ask(response_format=quoted, max_tokens=1)
            (killed,) = [p for p in engine_processes() if p.pid not in others]
            socket = json.loads(killed.cmdline()[-1])["socket"]
            killed.kill()
            failures = await failures_until_answered(client)
            assert failures[0] == "no connection"
            assert set(failures) <= {"no connection", "503"}  # 503 while it loads
            (started,) = [p for p in engine_processes() if p.pid not in others]
            assert started.pid != killed.pid
        finally:
            await client.close()
            await engine.stop()
        assert not started.is_running()
        assert not Path(socket).parent.exists()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    (down, up) = [record for record in caplog.records if record.name == "llmbase.embedded"]
    assert vars(down)["reason"] == "signal 9 (Killed)"
    assert "up again" in up.message
    assert "confidential" not in str([vars(record) for record in caplog.records])


async def failures_until_answered(client: Client) -> list[str]:
    """Ask until there is an answer, and say what happened before."""
    failures: list[str] = []
    async with asyncio.timeout(30):
        while True:
            try:
                async with await client.post(max_tokens=1) as response:
                    await response.read()
                if response.status == 200:
                    return failures
                failures.append(str(response.status))
            except aiohttp.ClientError:
                failures.append("no connection")
            await asyncio.sleep(0.02)


def test_the_engine_dies_with_its_parent(tmp_path: Path):
    require_local_model()
    program = """
import asyncio, os, sys
from tests.support.embedded_client import engine_processes, new_engine

async def main():
    await new_engine().start()
    (engine,) = engine_processes()
    print(engine.pid, engine.cmdline()[-1], flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    parent = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert parent.returncode == -9, parent.stderr
    pid, options = parent.stdout.split(" ", 1)
    until = time.monotonic() + 5
    while is_alive(int(pid)):
        assert time.monotonic() < until, "the engine outlived its parent"
        time.sleep(0.01)
    assert not Path(json.loads(options)["socket"]).parent.exists()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
