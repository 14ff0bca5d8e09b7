"""What tests share: one scripted upstream, the product before it in both shapes, and its doors."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import deployments
from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.postgres import Postgres, running_postgres
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.stores import Place, postgres_place, sqlite_place
from tests.support.valkey import Valkey, running_valkey

Door = GrpcDoor | RestDoor


@dataclass(frozen=True)
class Entrance:
    """One way into the product: the kind of door, and the processes that it leads into."""

    kind: str
    deployment: Deployment

    def open(self, key: str | None) -> Door:
        """The door, for the holder of `key`; to be entered as a context."""
        if self.kind == "grpc":
            return GrpcDoor(self.deployment.grpc, key)
        return RestDoor(self.deployment.http, key)


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep every process that we start away from the accounts of whoever runs the tests."""
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    yield
    os.environ.pop("XDG_DATA_HOME")
    if before is not None:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL; each test makes a database of its own there."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of store in turn: where one can be opened that is not there yet."""
    if request.param == "sqlite":
        return sqlite_place(tmp_path)
    return postgres_place(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def _valkey() -> Iterator[Valkey]:
    with running_valkey() as server:
        yield server


@pytest.fixture
def valkey(_valkey: Valkey) -> Valkey:
    """A real Valkey, empty."""
    _valkey.clear()
    return _valkey


@pytest.fixture(scope="session")
def _upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream().in_thread() as upstream:
        yield upstream


@pytest.fixture
def upstream(_upstream: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The scripted provider behind the shared processes, with a clean record."""
    _upstream.reset()
    yield _upstream
    assert not _upstream.mistakes, "a plan of the test itself failed"
    assert not _upstream.unscripted, "a request came that the test has no plan for"


@pytest.fixture(scope="session")
def one_process(
    _upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Both doors in one process; at the end it must have stopped in order and without a fault."""
    with deployments.one_process(_upstream, tmp_path_factory.mktemp("up")) as deployment:
        yield deployment
        check_end(deployment)


@pytest.fixture(scope="session")
def sidecar(
    _upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The service and the gateway as two processes; they end as `one_process` does."""
    with deployments.sidecar(_upstream, tmp_path_factory.mktemp("sidecar")) as deployment:
        yield deployment
        check_end(deployment)


def check_end(deployment: Deployment) -> None:
    """Stop the processes; each must end in order, and have logged no fault of its own."""
    for process in deployment.processes:
        assert process.stop() == 0, process.log
        for word in ("Traceback", "never retrieved", "Unclosed", "was destroyed"):
            assert word not in process.log, f"{process.name}: {process.log}"
        lines = process.log.splitlines()
        faults = [line for line in lines if '"level":"error"' in line and '"llmbase.' in line]
        assert not faults, f"{process.name}: {faults}"


@pytest.fixture
async def grpc_door(one_process: Deployment, upstream: ScriptedUpstream) -> AsyncIterator[GrpcDoor]:
    """The gRPC door of the one process."""
    async with GrpcDoor(one_process.grpc, KEY) as door:
        yield door


@pytest.fixture
async def rest_door(one_process: Deployment, upstream: ScriptedUpstream) -> AsyncIterator[RestDoor]:
    """The REST door of the one process."""
    async with RestDoor(one_process.http, KEY) as door:
        yield door


@pytest.fixture
async def sidecar_door(sidecar: Deployment, upstream: ScriptedUpstream) -> AsyncIterator[RestDoor]:
    """The REST door of the sidecar, a process apart from the service."""
    async with RestDoor(sidecar.http, KEY) as door:
        yield door


@pytest.fixture(params=["grpc", "rest", "sidecar"])
def entrance(request: pytest.FixtureRequest) -> Entrance:
    """Each way in, in turn: gRPC, REST in the same process, REST through the sidecar."""
    name = "sidecar" if request.param == "sidecar" else "one_process"
    return Entrance(request.param, request.getfixturevalue(name))


@pytest.fixture
async def door(entrance: Entrance, upstream: ScriptedUpstream) -> AsyncIterator[Door]:
    """Each door in turn, for the caller who may use everything."""
    async with entrance.open(KEY) as door:
        yield door


@pytest.fixture(params=["one_process", "sidecar"])
async def any_rest_door(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream
) -> AsyncIterator[RestDoor]:
    """Each REST door in turn."""
    deployment: Deployment = request.getfixturevalue(request.param)
    async with RestDoor(deployment.http, KEY) as door:
        yield door


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def streamed(request: pytest.FixtureRequest) -> bool:
    """Each shape of an answer in turn."""
    return bool(request.param)
