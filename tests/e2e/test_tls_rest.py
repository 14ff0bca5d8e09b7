"""The REST door with TLS, and a gateway that speaks TLS to its service."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import AsyncOpenAI

from tests.e2e.test_tls import write_pair
from tests.support import config as configuration
from tests.support.certificates import Authority
from tests.support.config import KEY
from tests.support.openai_wire import says, stream
from tests.support.processes import Process, running
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import hold
from tests.support.signals import Signal

HELLO = [{"role": "user", "content": "Hello"}]
ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()


@contextlib.contextmanager
def up(upstream: ScriptedUpstream, directory: Path) -> Iterator[tuple[str, Process]]:
    path = configuration.write(configuration.standard(upstream), directory)
    files = ("--tls-cert", str(directory / "cert.pem"), "--tls-key", str(directory / "key.pem"))
    ports = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    with running("up", "--config", str(path), *ports, *files, directory=directory) as process:
        url = process.wait_until_ready()[0]
        yield url, process
        assert process.stop() == 0, process.log
        assert "Traceback" not in process.log


def client(url: str, authority: Authority) -> AsyncOpenAI:
    """OpenAI's own SDK, which trusts this authority alone."""
    trusted = ssl.create_default_context(cadata=authority.pem.decode())
    return AsyncOpenAI(
        base_url=f"{url}/v1",
        api_key=KEY,
        max_retries=0,
        http_client=httpx.AsyncClient(verify=trusted, trust_env=False),
    )


async def say(url: str, authority: Authority) -> str:
    async with client(url, authority) as sdk:
        answer = await sdk.chat.completions.create(model="test/one", messages=HELLO)  # type: ignore[arg-type]
    return str(answer.choices[0].message.content)


async def test_a_new_pair_is_for_new_connections_and_open_streams_go_on(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    go_on = Signal()
    first, second = Authority("first"), Authority("second")
    write_pair(tmp_path, first.sign())
    upstream.on(
        "one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE), says("Hi"), says("Hi")
    )
    with up(upstream, tmp_path) as (url, _):
        assert url.startswith("https://127.0.0.1:")
        async with client(url, first) as sdk:
            chunks = await sdk.chat.completions.create(
                model="test/one",
                messages=HELLO,  # type: ignore[arg-type]
                stream=True,
            )
            told = [await anext(chunks)]
            write_pair(tmp_path, second.sign())
            assert await say(url, second) == "Hi"
            with pytest.raises(Exception, match="Connection error"):
                await say(url, first)

            (tmp_path / "cert.pem").write_bytes(b"half a certif")
            assert await say(url, second) == "Hi"
            go_on.set()
            told += [chunk async for chunk in chunks]
    texts = [chunk.choices[0].delta.content or "" for chunk in told if chunk.choices]
    assert "".join(texts) == "Hello"


def test_nothing_older_than_tls_1_2_is_spoken(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    authority = Authority()
    write_pair(tmp_path, authority.sign())
    with up(upstream, tmp_path) as (url, _):
        host, _, port = url.removeprefix("https://").partition(":")
        for oldest, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
            context = ssl.create_default_context(cadata=authority.pem.decode())
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = oldest
            assert _shakes_hands(context, host, int(port)) is works


def _shakes_hands(context: ssl.SSLContext, host: str, port: int) -> bool:
    with socket.create_connection((host, port), 10) as plain:
        try:
            context.wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLError:
            return False
    return True


async def test_a_health_check_speaks_tls(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    write_pair(tmp_path, Authority().sign())
    with up(upstream, tmp_path) as (url, _):
        address = url.removeprefix("https://")
        flags = ("--http", address, "--grpc", "127.0.0.1:1")
        command = [sys.executable, "-m", "cli", "health", *flags]
        certificate = ("--tls-cert", str(tmp_path / "cert.pem"))
        for more, code in ((certificate, 0), ((), 1)):
            done = await asyncio.to_thread(
                subprocess.run, [*command, *more], capture_output=True, check=False
            )
            assert done.returncode == code, done


@pytest.mark.parametrize(
    ("cert", "key", "told"),
    [
        ("cert.pem", "nowhere.pem", "nowhere.pem"),
        ("cert.pem", "other.pem", "do not belong together"),
        ("cert.pem", None, "go together"),
    ],
)
def test_files_that_cannot_be_used_are_said_at_the_start(
    cert: str, key: str | None, told: str, tmp_path: Path
) -> None:
    write_pair(tmp_path, Authority().sign())
    (tmp_path / "other.pem").write_bytes(Authority().sign()[0])
    files = ["--tls-cert", str(tmp_path / cert)]
    files += ["--tls-key", str(tmp_path / key)] if key is not None else []
    with running("gateway", "--http", "127.0.0.1:0", *files, directory=tmp_path) as gateway:
        assert gateway.wait(60) == 1
        assert told in gateway.log
        assert gateway.log.count("\n") == 1


async def test_a_gateway_shows_its_service_who_it_is(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    authority = Authority()
    write_pair(tmp_path, authority.sign())
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    tls = {
        "grpc": "127.0.0.1:0",
        "cert_file": str(tmp_path / "cert.pem"),
        "key_file": str(tmp_path / "key.pem"),
        "client_ca_file": str(tmp_path / "ca.pem"),
    }
    upstream.on("one", says("Hi"))
    path = configuration.write(configuration.standard(upstream, tls=tls), tmp_path)
    with running("service", "--config", str(path), directory=tmp_path) as service:
        target = f"grpcs://{service.wait_until_ready()[3]}"
        own = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
        flags = [w for n, f in own.items() for w in (f"--service-{n}", str(tmp_path / f))]
        for given, works in ((flags, True), (flags[:2], False)):
            with running(
                "gateway", "--http", "127.0.0.1:0", "--service", target, *given, directory=tmp_path
            ) as gateway:
                (url,) = gateway.wait_until_ready()
                async with AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as sdk:
                    asked = sdk.chat.completions.create(model="test/one", messages=HELLO)  # type: ignore[arg-type]
                    if works:
                        assert (await asked).choices[0].message.content == "Hi"
                    else:
                        with pytest.raises(Exception, match="503"):
                            await asked


def test_certificates_for_a_plain_service_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority().pem)
    given = ("--service-ca", str(tmp_path / "ca.pem"), "--service", "127.0.0.1:1")
    with running("gateway", "--http", "127.0.0.1:0", *given, directory=tmp_path) as gateway:
        assert gateway.wait(60) == 1
        assert "grpcs://" in gateway.log
