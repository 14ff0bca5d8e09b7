"""What one process has of accounts, with a clock that tests move."""

from __future__ import annotations

import random
from dataclasses import dataclass

from service.accounts.directory import KeyDirectory
from service.accounts.registry import Registry
from service.config import AccountsConfig
from service.store.database import Database

START = 1_795_694_400.0  # 2026-11-26T12:00:00Z


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return START + self.passed

    def clock(self) -> float:
        return self.passed


@dataclass
class Replica:
    """One process's view of a store."""

    database: Database
    directory: KeyDirectory
    registry: Registry


def replica(database: Database, clock: Clock, seed: int) -> Replica:
    directory = KeyDirectory(database, AccountsConfig(), clock.now, clock.clock)
    registry = Registry(database, directory, clock.now, random.Random(seed))
    return Replica(database, directory, registry)
