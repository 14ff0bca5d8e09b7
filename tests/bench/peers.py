"""Other gateways, installed into a throw-away place and started like ours."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bench.load import Door
from tests.bench.measure import Meter
from tests.bench.questions import KEY, MODEL, PROVIDER_KEY, UPSTREAM_MODEL
from tests.bench.subjects import Running, Start, process

_PATIENCE = 900  # seconds for an installation
# With the newest server that it accepts (1.19) every stream is a 500: `TypeError: immutable`.
_PORTKEY = {
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.13.8"},
}


def install(name: str, directory: Path) -> Start:
    """Install a peer unless it is there already, and return how it is started."""
    return PEERS[name](directory / name)


def _litellm(place: Path) -> Start:
    program = place / "bin" / "litellm"
    _once(
        place,
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin" / "pip"), "install", "--quiet", "litellm[proxy]"],
    )

    @contextlib.contextmanager
    def start(provider_port: int, directory: Path) -> Iterator[Running]:
        directory.mkdir(parents=True, exist_ok=True)
        params = {
            "model": f"openai/{UPSTREAM_MODEL}",
            "api_base": f"http://127.0.0.1:{provider_port}/v1",
            "api_key": PROVIDER_KEY,
        }
        config = {
            "model_list": [{"model_name": MODEL, "litellm_params": params}],
            "general_settings": {"master_key": f"sk-{KEY}"},
        }
        path = directory / "config.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")
        port = _free_port()
        flags = ["--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
        offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        command = [str(program), *flags]
        with process(command, directory, environment=offline, at=directory) as (started, _):
            headers = {"authorization": f"Bearer sk-{KEY}"}
            yield Running(Door(port, headers), Meter((started.pid,)))

    return start


def _portkey(place: Path) -> Start:
    program = place / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    place.mkdir(parents=True, exist_ok=True)
    (place / "package.json").write_text(json.dumps(_PORTKEY), encoding="utf-8")
    _once(place, ["npm", "install", "--silent", "--prefix", str(place)])

    @contextlib.contextmanager
    def start(provider_port: int, directory: Path) -> Iterator[Running]:
        port = _free_port()
        command = ["node", str(program), f"--port={port}", "--headless"]
        trusted = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
        with process(command, directory, environment=trusted, at=place) as (started, _):
            config = {
                "provider": "openai",
                "api_key": PROVIDER_KEY,
                "custom_host": f"http://127.0.0.1:{provider_port}/v1",
                "override_params": {"model": UPSTREAM_MODEL},
            }
            headers = {"x-portkey-config": json.dumps(config)}
            yield Running(Door(port, headers), Meter((started.pid,)))

    return start


PEERS: Mapping[str, Callable[[Path], Start]] = {"litellm": _litellm, "portkey": _portkey}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _once(place: Path, *commands: list[str]) -> None:
    """Run an installation unless it has been run to its end before."""
    done = place / ".installed"
    if not done.exists():
        place.mkdir(parents=True, exist_ok=True)
        for command in commands:
            subprocess.run(command, check=True, timeout=_PATIENCE)
        done.touch()
