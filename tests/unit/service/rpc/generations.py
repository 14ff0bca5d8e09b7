"""A generation for the RPC floor alone: it counts its holders, and has what a test gives it."""

from __future__ import annotations

import hashlib
from typing import Any

from service.config import KeyConfig
from service.rpc.authentication import Authenticator
from service.rpc.current import Current

KEY = "a-key-for-the-rpc-floor"


class _Free:
    """A charge of nothing."""

    pays = False
    tokens = 0

    def room(self) -> None:
        return None

    def settle(self, *_: Any) -> None:
        pass

    def fail(self, *_: Any) -> None:
        pass

    def close(self) -> None:
        pass


class FreeOfCharge:
    """Opens charges of nothing: who pays is for other tests."""

    def open(self, *_: Any) -> _Free:
        return _Free()


class FakeGeneration:
    """What RPCs answer from. `key` is the one key that it knows."""

    def __init__(
        self,
        router: Any = None,
        dispatcher: Any = None,
        *,
        key: str = KEY,
        public_models: bool = False,
    ) -> None:
        digest = hashlib.sha256(key.encode()).hexdigest()
        self.authenticator = Authenticator([KeyConfig(name="demo", sha256=digest)])
        self.router = router
        self.dispatcher = dispatcher
        self.public_models = public_models
        self.prices = None
        self.holders = 0

    def hold(self) -> None:
        self.holders += 1

    def let_go(self) -> None:
        self.holders -= 1


def current(*given: Any, **named: Any) -> Current:
    """What new RPCs get: a generation made of what is given."""
    return Current(FakeGeneration(*given, **named))
