"""AccountService and KeyService as a process: `python -m tests.support.account_server STORE-URL`.

It prints its address, and ends when its standard input does. `null` instead of a URL: no store.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from service.accounts.directory import KeyDirectory
from service.accounts.registry import Registry
from service.config import AccountsConfig, StoreConfig
from service.store.open import open_store
from tests.support.account_door import account_door

_PROJECT = Path(__file__).parents[2]


async def _main(url: str) -> None:
    database = None
    if url != "null":
        database = await open_store(StoreConfig.model_validate({"url": url}), Path("/nowhere"))
    directory = KeyDirectory(database, AccountsConfig(), time.time, time.monotonic)
    registry = None
    if database is not None:
        registry = Registry(database, directory, time.time, random.SystemRandom())
    async with account_door(registry, directory) as door:
        print(door.address, flush=True)
        watch = asyncio.create_task(directory.run())
        await asyncio.to_thread(sys.stdin.read)
        watch.cancel()
    if database is not None:
        await database.close()


@contextlib.contextmanager
def account_server(url: str) -> Iterator[str]:
    """Serve what is in a store until the context ends; gives the address."""
    command = [sys.executable, "-m", "tests.support.account_server", url]
    with subprocess.Popen(
        command, cwd=_PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(30)
    assert process.returncode == 0


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
