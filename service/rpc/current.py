"""What RPCs answer from: each reads `Current.generation` once, at its start, and keeps to it."""

from __future__ import annotations

from typing import Protocol

from service.accounts.prices import PriceTable
from service.routing.dispatcher import Dispatcher
from service.routing.router import Router
from service.rpc.authentication import Authenticator


class Generation(Protocol):
    """What one configuration made. It never changes; while it is held nothing of it is closed."""

    @property
    def authenticator(self) -> Authenticator: ...  # noqa: D102

    @property
    def router(self) -> Router: ...  # noqa: D102

    @property
    def dispatcher(self) -> Dispatcher: ...  # noqa: D102

    @property
    def prices(self) -> PriceTable: ...  # noqa: D102

    @property
    def secrets(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def public_models(self) -> bool: ...  # noqa: D102

    def hold(self) -> None:
        """Keep it open until `let_go`; whatever outlives the RPC that began it holds it, too."""
        ...

    def let_go(self) -> None: ...  # noqa: D102


class Current:
    """The generation that new RPCs get. One assignment replaces it, so no RPC sees two."""

    __slots__ = ("generation",)

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
