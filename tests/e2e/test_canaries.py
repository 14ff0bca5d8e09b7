"""Prompts, answers and secrets go through every way that a call can go: none is found afterwards.

Not in a log at its most talkative, in metrics, in the store or its spool, on a command line; nor
are secrets in anything that a caller is told when a call fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.call_log import until
from tests.support.canaries import (
    BROKEN,
    CASES,
    HASTY_KEY,
    HEADS,
    KEY,
    POOR_KEY,
    PROMPT,
    PROVIDER_KEY,
    ROLE_AND_WORD,
    SECRETS,
    STORE_PASSWORD,
    WORDS,
    found,
)
from tests.support.canary_calls import another_caller, ask, leave, say, send
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.ledger_file import ACCOUNT, LedgerFile
from tests.support.openai_wire import says, stream
from tests.support.proto_request import proto_request
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

DEBUG = {"LLMBASE_LOG_LEVEL": "debug"}
PRICES = {"prompt": "0.000001", "completion": "0.000003"}


def _settings(upstream: ScriptedUpstream, ledger: LedgerFile) -> dict[str, Any]:
    settings = configuration.standard(upstream, metrics="127.0.0.1:0", drain="10s")
    for provider in settings["providers"].values():
        provider["api_key"] = PROVIDER_KEY
    secret = f"user:{PROVIDER_KEY}@127.0.0.1:1"
    settings["providers"]["dead"]["base_url"] = f"http://{secret}/v1"
    settings["providers"]["proxied"] = configuration.provider(upstream.url("/p")) | {
        "proxy": f"http://{secret}"
    }
    settings["providers"]["odd"] = configuration.provider(f"http://{secret}:{PROVIDER_KEY}/v1")
    for name in ("proxied", "odd"):
        settings["models"][f"test/{name}"] = configuration.model((name, name))
    for model in settings["models"].values():
        model["pricing"] = PRICES
    settings["keys"] += [
        configuration.key_entry("canary", KEY, ["*"]) | {"account": ACCOUNT},
        configuration.key_entry("poor", POOR_KEY, ["*"]) | {"account": "poor"},
        configuration.key_entry("hasty", HASTY_KEY, ["*"]) | {"requests_per_minute": 1},
    ]
    return settings | ledger.settings


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerFile:
    return LedgerFile(tmp_path / "books.db")


@pytest.fixture
def deployment(
    upstream: ScriptedUpstream, ledger: LedgerFile, tmp_path: Path
) -> Iterator[Deployment]:
    """Service and gateway, which tell all that they ever tell."""
    settings = _settings(upstream, ledger)
    with deployments.sidecar(upstream, tmp_path, settings, every=DEBUG) as made:
        ledger.credit(10**9)
        yield made


@pytest.fixture
async def doors(deployment: Deployment) -> AsyncIterator[tuple[RestDoor, GrpcDoor]]:
    async with RestDoor(deployment.http, None) as rest, GrpcDoor(deployment.grpc, None) as typed:
        yield rest, typed


async def test_nothing_is_found_of_what_went_through_every_way(
    deployment: Deployment,
    doors: tuple[RestDoor, GrpcDoor],
    upstream: ScriptedUpstream,
    ledger: LedgerFile,
    tmp_path: Path,
) -> None:
    told = [await ask(case, *doors, upstream) for case in CASES]
    told.append([await send(doors[0], body) for body in BROKEN])
    for head in HEADS:
        await say(deployment, head)
    told.append(await another_caller(*doors))
    await leave(*doors, upstream)
    await _spool(deployment, doors[1], upstream, ledger, tmp_path)
    await _reload(deployment, tmp_path)

    assert [text for texts in told for text in texts if found(text, SECRETS)] == []
    assert found("".join(told[-1]), WORDS) == [], "what one caller asked, another is not told"
    commands = [" ".join(psutil.Process(it.pid).cmdline()) for it in deployment.processes]
    page = await asyncio.to_thread(_get, f"http://{deployment.metrics}/metrics")
    for process in deployment.processes:
        process.send(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait) == 0
    lines = [json.loads(line) for line in deployment.log.splitlines()]
    assert len([it for it in lines if it["message"] == "request"]) > 2 * len(CASES)
    assert len([it for it in lines if it["logger"] == "llmbase.rpc"]) > 3 * len(CASES)
    everywhere = {
        "log": deployment.log,
        "output": "".join(it.out for it in deployment.processes),
        "metrics": page,
        "command lines": "".join(commands),
        "store": _bytes(tmp_path, "books.db*"),
        "spool": _bytes(tmp_path, "spool/*"),
    }
    assert {where: found(text, SECRETS + WORDS) for where, text in everywhere.items()} == {
        where: [] for where in everywhere
    }


async def _spool(
    deployment: Deployment,
    door: GrpcDoor,
    upstream: ScriptedUpstream,
    ledger: LedgerFile,
    directory: Path,
) -> None:
    """Have a call end while the store takes nothing: it is written to the spool."""
    go_on = Signal()
    upstream.on("one", stream(*ROLE_AND_WORD, hold(go_on), *says("x").events()[2:]))
    body = hello(stream=True) | {"messages": [{"role": "user", "content": PROMPT}]}
    metadata = (("authorization", f"Bearer {KEY}"),)
    call = door.chat.StreamChatCompletion(proto_request(body), metadata=metadata)
    assert await call.read()
    with contextlib.closing(sqlite3.connect(directory / "books.db", timeout=10)) as store:
        store.execute("BEGIN EXCLUSIVE")
        go_on.set()
        while await call.read() is not grpc.aio.EOF:
            pass
        spool = directory / "spool"
        await until(lambda: bool(_bytes(spool, "*")), timeout=60)
        assert found(_bytes(spool, "*"), SECRETS + WORDS) == []
        store.rollback()


async def _reload(deployment: Deployment, directory: Path) -> None:
    """Offer configurations that cannot be used, each with secrets in it."""
    path = directory / "llmbase.yaml"
    good = path.read_text()
    settings = json.loads(good)
    alpha = settings["providers"]["alpha"]
    wrong: list[dict[str, Any]] = [
        {"api_key": [PROVIDER_KEY]},
        {"api_keys": PROVIDER_KEY},
        {"headers": {"X-Key": [PROVIDER_KEY]}},
        {"base_url": f"ftp://{PROVIDER_KEY}/v1"},
        {"credentials": {"scheme": PROVIDER_KEY, "token": PROVIDER_KEY}},
        {"timeouts": {"idle": PROVIDER_KEY}},
    ]
    texts = []
    for change in wrong:
        broken = settings | {"providers": settings["providers"] | {"alpha": alpha | change}}
        texts.append(json.dumps(broken))
    texts.append(json.dumps(settings | {"store": {"url": f"mysql://u:{STORE_PASSWORD}@h/d"}}))
    texts.append(json.dumps(settings | {"shared": {"url": f"http://u:{STORE_PASSWORD}@h"}}))
    texts += [
        f'providers: {{acme: {{api_key: "{PROVIDER_KEY}}}',
        f"providers:\n  acme: {{api_key: {PROVIDER_KEY}: x}}\n",
        f"providers:\n  acme:\n    api_key: !{PROVIDER_KEY} x\n",
        f"providers:\n  acme:\n    api_key: *{PROVIDER_KEY}\n",
        f"providers:\n\tapi_key: {PROVIDER_KEY}\n",
        f"{PROVIDER_KEY}",
    ]
    for number, text in enumerate(texts, 1):
        path.write_text(text)
        await until(partial(_refused, deployment, number), timeout=30)
    path.write_text(good)


def _refused(deployment: Deployment, count: int) -> bool:
    """Whether so many configurations were refused; none may be taken over."""
    assert "configuration applied" not in deployment.log, count
    return deployment.log.count("configuration refused") >= count


def _bytes(directory: Path, pattern: str) -> bytes:
    return b"".join(it.read_bytes() for it in directory.glob(pattern))


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("command", ["check", "service", "migrate"])
def test_a_store_that_cannot_be_reached_is_named_without_its_password(
    command: str, tmp_path: Path
) -> None:
    store = {"url": f"postgresql://llmbase:{STORE_PASSWORD}@127.0.0.1:1/llmbase"}
    path = tmp_path / "llmbase.yaml"
    path.write_text(json.dumps({"providers": {}, "models": {}, "store": store}))
    flags = [str(path)] if command == "check" else ["--config", str(path)]

    done = subprocess.run(
        [sys.executable, "-m", "cli", command, *flags], capture_output=True, timeout=60, check=False
    )

    assert done.returncode == (0 if command == "check" else 1)
    assert found(done.stdout + done.stderr, SECRETS) == []
