"""What gRPC is told before it starts: names that it does not know would do nothing, in silence."""

from __future__ import annotations

import os
import subprocess
import sys

_SERVE = """
import asyncio, os
import cli.__main__
os.environ["GRPC_VERBOSITY"] = "ERROR"
import grpc

async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await server.stop(None)

asyncio.run(main())
print(os.environ["GRPC_EXPERIMENTS"])
"""


def _served(**told: str) -> subprocess.CompletedProcess[str]:
    environment = {key: it for key, it in os.environ.items() if not key.startswith("GRPC_")}
    return subprocess.run(
        [sys.executable, "-c", _SERVE],
        env=environment | told,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_grpc_knows_the_engines_that_are_switched_off() -> None:
    done = _served()
    assert done.stdout.split(",") == ["-event_engine_client", "-event_engine_listener\n"]
    assert "Unknown experiment" not in done.stderr


def test_who_starts_it_has_the_last_word() -> None:
    done = _served(GRPC_EXPERIMENTS="-of_another_release")
    assert done.stdout == "-of_another_release\n"
    assert "Unknown experiment" in done.stderr  # so that it would be seen above, too
