"""`llmbase health` asks whichever doors are open: one question for all kinds of processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.deployments import Deployment
from tests.support.processes import running

CLOSED = "127.0.0.1:1"


def _health(http: str, *grpc: str) -> subprocess.CompletedProcess[str]:
    flags = [word for address in grpc for word in ("--grpc", address)]
    return subprocess.run(
        [sys.executable, "-m", "cli", "health", "--http", http, *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_both_doors_of_one_process_take_calls(one_process: Deployment) -> None:
    http = one_process.http.removeprefix("http://")

    done = _health(http, one_process.grpc)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"http {http}: ready\ngrpc {one_process.grpc}: ready\n"


def test_a_gateway_or_a_service_alone_is_enough(sidecar: Deployment) -> None:
    http = sidecar.http.removeprefix("http://")

    assert _health(http, CLOSED).returncode == 0
    assert _health(CLOSED, sidecar.grpc).returncode == 0


def test_where_every_address_is_bound_it_asks_its_own(one_process: Deployment) -> None:
    _, _, port = one_process.grpc.rpartition(":")

    assert _health(CLOSED, f"0.0.0.0:{port}").stdout == f"grpc 127.0.0.1:{port}: ready\n"


def test_where_nothing_listens_it_fails(tmp_path: Path) -> None:
    done = _health(CLOSED, f"unix:{tmp_path}/none")

    assert done.returncode == 1
    assert done.stderr == "Error: Nothing listens.\n"


def test_a_gateway_without_its_service_takes_no_calls(tmp_path: Path) -> None:
    flags = ("--service", f"unix:{tmp_path}/none", "--http", "127.0.0.1:0")
    with running("gateway", *flags, directory=tmp_path) as gateway:
        (http,) = gateway.wait_until_ready()

        done = _health(http.removeprefix("http://"), CLOSED)

    assert done.returncode == 1
    assert done.stdout.endswith(": not ready\n")
