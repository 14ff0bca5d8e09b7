"""The TLS door of the real process: certificates stand for keys, and change while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from llmbase.v1.model_pb2 import ListModelsRequest
from llmbase.v1.model_pb2_grpc import ModelServiceStub

from service.config import TlsConfig
from service.mendable import ConfigError
from service.rpc.tls import Certificates
from tests.support import config as configuration
from tests.support.certificates import Authority
from tests.support.config import KEY, NARROW_KEY
from tests.support.processes import running

BILLING = "spiffe://acme/billing/7"


@dataclass
class Door:
    """A service that listens with TLS, and the files it does it with."""

    plain: str
    tls: str
    authority: Authority
    directory: Path

    def exchange(self, authority: Authority) -> None:
        """Give it another certificate, by renaming, as certificate managers do."""
        write_pair(self.directory, authority.sign())


def write_pair(directory: Path, pair: tuple[bytes, bytes]) -> None:
    for name, pem in zip(("key.pem", "cert.pem"), pair, strict=True):
        (directory / f"{name}.new").write_bytes(pem)
        (directory / f"{name}.new").replace(directory / name)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority()
    write_pair(directory, authority.sign())
    (directory / "ca.pem").write_bytes(authority.pem)
    tls = {
        "grpc": "127.0.0.1:0",
        "cert_file": str(directory / "cert.pem"),
        "key_file": str(directory / "key.pem"),
        "client_ca_file": str(directory / "ca.pem"),
    }
    provider = configuration.provider("http://127.0.0.1:1/v1")
    config = {
        "server": {"grpc": "127.0.0.1:0", "tls": tls},
        "providers": {"alpha": provider},
        "models": {name: configuration.model(("alpha", "one")) for name in ("a/one", "b/two")},
        "keys": [
            configuration.key_entry("all", KEY, ["*"]),
            configuration.key_entry("narrow", NARROW_KEY, ["b/*"]),
        ],
        "identities": [
            {"name": "billing", "uri": "spiffe://acme/billing/*", "models": ["a/*"]},
        ],
    }
    path = configuration.write(config, directory)
    with running("service", "--config", str(path), directory=directory) as service:
        told = service.wait_until_ready()
        assert told[0::2] == ["grpc", "grpcs"]
        yield Door(told[1], told[3], authority, directory)
        assert service.stop() == 0, service.log


async def models(door: Door, pair: tuple[bytes, bytes] | None, key: str = "") -> set[str]:
    """List the models through the TLS door, over a connection of its own."""
    own = {} if pair is None else {"private_key": pair[0], "certificate_chain": pair[1]}
    credentials = grpc.ssl_channel_credentials(door.authority.pem, **own)
    fresh = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.secure_channel(door.tls, credentials, options=fresh) as channel:
        answer = await ModelServiceStub(channel).ListModels(
            ListModelsRequest(),
            metadata=(("authorization", f"Bearer {key}"),) if key else (),
            timeout=20,
        )
    return {model.id for model in answer.models}


async def refused(door: Door, pair: tuple[bytes, bytes] | None, key: str = "") -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await models(door, pair, key)
    return failed.value.code()


async def test_a_known_identity_is_let_in_without_a_key(door: Door) -> None:
    assert await models(door, door.authority.sign(BILLING)) == {"a/one"}


async def test_a_key_that_is_sent_too_decides(door: Door) -> None:
    pair = door.authority.sign(BILLING)
    assert await models(door, pair, NARROW_KEY) == {"b/two"}
    assert await refused(door, pair, KEY + "x") is grpc.StatusCode.UNAUTHENTICATED


async def test_an_unknown_identity_needs_a_key(door: Door) -> None:
    pair = door.authority.sign("spiffe://acme/sales/7")
    assert await refused(door, pair) is grpc.StatusCode.UNAUTHENTICATED
    assert await models(door, pair, KEY) == {"a/one", "b/two"}


@pytest.mark.parametrize(
    "names",
    [
        (x509.DNSName(BILLING),),
        (x509.RFC822Name(BILLING),),
        (BILLING, "spiffe://acme/sales/7"),
        ("https://acme/billing/7",),
    ],
)
async def test_what_only_reads_like_an_identity_is_none(door: Door, names: Any) -> None:
    pair = door.authority.sign(*names)
    assert await refused(door, pair) is grpc.StatusCode.UNAUTHENTICATED


async def test_nobody_gets_in_without_a_certificate_of_the_authority(door: Door) -> None:
    assert await refused(door, None, KEY) is grpc.StatusCode.UNAVAILABLE
    stranger = Authority("authority").sign(BILLING)
    assert await refused(door, stranger, KEY) is grpc.StatusCode.UNAVAILABLE


async def test_the_plain_door_knows_no_certificates(door: Door) -> None:
    async with grpc.aio.insecure_channel(door.plain) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await ModelServiceStub(channel).ListModels(ListModelsRequest(), timeout=20)
    assert failed.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_new_certificate_is_served_to_new_connections(door: Door) -> None:
    caller = door.authority.sign(BILLING)
    credentials = grpc.ssl_channel_credentials(door.authority.pem, *caller)
    async with grpc.aio.secure_channel(door.tls, credentials) as before:
        stub = ModelServiceStub(before)
        await stub.ListModels(ListModelsRequest(), timeout=20)

        other = Authority("other")
        door.exchange(other)
        assert await refused(door, caller) is grpc.StatusCode.UNAVAILABLE
        after = Door(door.plain, door.tls, other, door.directory)
        assert await models(after, caller) == {"a/one"}
        await stub.ListModels(ListModelsRequest(), timeout=20)

        (door.directory / "cert.pem").write_bytes(b"half a certif")
        assert await models(after, caller) == {"a/one"}
        door.exchange(door.authority)
        assert await models(door, caller) == {"a/one"}


def test_the_command_line_speaks_tls(door: Door) -> None:
    own = door.directory / "own"
    own.mkdir()
    write_pair(own, door.authority.sign(BILLING))
    files = {"ca": door.directory / "ca.pem", "cert": own / "cert.pem", "key": own / "key.pem"}
    options = [word for name, path in files.items() for word in (f"--{name}-file", str(path))]
    with running("models", "--grpc", door.tls, *options, directory=own) as command:
        assert command.wait(60) == 0, command.log
        assert "a/one" in command.out


def _config(directory: Path, **files: str) -> TlsConfig:
    names = {"cert_file": "cert.pem", "key_file": "key.pem", "client_ca_file": "cert.pem"} | files
    paths = {key: str(directory / name) for key, name in names.items()}
    return TlsConfig(grpc="127.0.0.1:0", **paths)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"key_file": "missing.pem"}, "missing.pem: No such file"),
        ({"key_file": "other.pem"}, "do not belong together"),
        ({"cert_file": "text.pem"}, "no certificate"),
        ({"client_ca_file": "text.pem"}, "no certificate"),
        ({"client_ca_file": "nowhere.pem"}, "nowhere.pem: No such file"),
    ],
)
def test_files_that_cannot_be_used_are_said_at_the_start(
    tmp_path: Path, files: dict[str, str], told: str
) -> None:
    authority = Authority()
    write_pair(tmp_path, authority.sign())
    (tmp_path / "other.pem").write_bytes(authority.sign()[0])
    (tmp_path / "text.pem").write_bytes(b"hello")
    Certificates(_config(tmp_path)).credentials()
    with pytest.raises(ConfigError, match="^server.tls: .*" + told) as failed:
        Certificates(_config(tmp_path, **files))
    assert "\n" not in str(failed.value)
