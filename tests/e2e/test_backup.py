"""A backup that was taken while calls were paid, and what is there when it has been restored."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy.engine import make_url

from tests.support import config as configuration
from tests.support import deployments
from tests.support.account_door import ADMIN
from tests.support.asking import hello
from tests.support.office import Office
from tests.support.openai_wire import says
from tests.support.parts import require_part
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.stores import Place

pytestmark = pytest.mark.matrix

COST = 12 * 1000 + 3 * 3200  # nano-dollars: 12 tokens at $0.000001 and 3 at $0.0000032


def _back_up(place: Place, copy: Path) -> None:
    """Do as the runbook says."""
    if place.kind == "sqlite":
        _run("sqlite3", urlsplit(place.url).path[1:], f".backup '{copy}'")
    else:
        _run("pg_dump", "--format=custom", f"--file={copy}", place=place)


def _restore(place: Place, copy: Path) -> None:
    if place.kind == "sqlite":
        store = Path(urlsplit(place.url).path[1:])
        for suffix in ("", "-wal", "-shm"):
            store.with_name(store.name + suffix).unlink(missing_ok=True)
        shutil.copy(copy, store)
    else:
        database = str(make_url(place.url).database)
        _run("pg_restore", "--clean", "--if-exists", f"--dbname={database}", str(copy), place=place)


def _run(program: str, *arguments: str, place: Place | None = None) -> None:
    require_part(shutil.which(program), f"{program} is not installed")
    environment = dict(os.environ)
    if place is not None:
        url = make_url(place.url)
        environment |= {"PGHOST": str(url.host), "PGPORT": str(url.port)}
        environment |= {"PGUSER": str(url.username), "PGPASSWORD": str(url.password)}
        environment |= {"PGDATABASE": str(url.database)}
    done = subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_what_is_restored_is_what_was_there_and_goes_on_from_there(
    store_place: Place, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.on("glm-5", says("Hello"))
    settings: dict[str, Any] = configuration.standard(upstream)
    admin = {"name": "boss", "sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "admin": True}
    settings |= {"keys": [admin], "store": {"url": store_place.url, "spool": str(tmp_path / "s")}}
    copy = tmp_path / "copy"

    with deployments.one_process(upstream, tmp_path / "before", settings) as made:
        async with Office(made.grpc) as office, RestDoor(made.http, None) as door:
            await office.account("zoo", dollars=1)
            key_id, secret = await office.key("zoo")
            await _pays(door, secret)
            await office.settled("zoo", calls=1)
            _back_up(store_place, copy)
            await _pays(door, secret)
            await office.settled("zoo", calls=2)
            await office.revoke(key_id)
            await office.account("late")

    _restore(store_place, copy)
    with deployments.one_process(upstream, tmp_path / "after", settings) as made:
        async with Office(made.grpc) as office, RestDoor(made.http, None) as door:
            assert (await office.settled("zoo", calls=1)).cost_nanos == COST
            await _pays(door, secret)  # a key that was revoked since is valid again
            assert (await office.settled("zoo", calls=2)).cost_nanos == 2 * COST
            await office.account("late")
    triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    if store_place.kind == "postgresql":
        triggers = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    assert "ledger" in str(store_place.sql(triggers))


async def _pays(door: RestDoor, secret: str) -> None:
    key = {"Authorization": f"Bearer {secret}"}
    answer = await door.ask(hello("zai-org/glm-5"), headers=key)
    assert answer.failure is None, answer.failure
