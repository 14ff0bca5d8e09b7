"""Everything that a configuration makes, as one thing that never changes: a reload makes another.

RPCs hold the generation they began with; one that was replaced closes what it alone has open when
the last of them has let go.
"""

from __future__ import annotations

import asyncio
import random
import time

from service.accounts.directory import KeyDirectory
from service.accounts.prices import PriceTable
from service.config import Config
from service.providers import build
from service.providers.holdings import Holdings
from service.routing.board import Board
from service.routing.dispatcher import Dispatcher
from service.routing.router import Router
from service.rpc.authentication import Authenticator
from telemetry.metrics import Metrics


class Generation:
    """`number` counts from 1; `holdings` are open, and from now on this generation's to close.

    What is known of providers that are configured as they were `before` is kept.
    """

    def __init__(
        self,
        number: int,
        config: Config,
        holdings: Holdings,
        chance: random.Random,
        metrics: Metrics,
        directory: KeyDirectory,
        before: Generation | None = None,
    ) -> None:
        self.number = number
        self.config = config
        self.holdings = holdings
        known: Board | None = before.board if before is not None else None
        self.board: Board = Board(config.providers, time.monotonic, chance, known)
        self.router = Router(config.models, holdings.providers, self.board)
        self.dispatcher = Dispatcher(self.router, time.time, time.monotonic, chance, metrics)
        self.authenticator = Authenticator(
            config.keys, config.accounts, config.identities, directory
        )
        self.prices = PriceTable(config.models)
        self.secrets = build.all_secrets(config.providers)  # that no trace may have
        self.public_models = config.server.public_models
        self._holders = 0
        self._retired = False
        self._free = asyncio.Event()

    def hold(self) -> None:
        """Keep it open until `let_go` was called as often."""
        self._holders += 1

    def let_go(self) -> None:
        """The holder has nothing of it in use any longer."""
        self._holders -= 1
        if self._retired:
            self._look()

    async def retire(self) -> None:
        """Close it as soon as nobody holds it. To be called when no one can begin to."""
        self._retired = True
        self._look()
        await self._free.wait()
        await self.holdings.close()

    def abandon(self) -> None:
        """Let `retire` wait for nobody: at the end, when every RPC has been ended."""
        self._free.set()

    def _look(self) -> None:
        if self._holders == 0:
            self._free.set()
