"""Which limiter there is, by the configuration."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from service.accounts.limits import Limiter
from service.accounts.local_limits import LocalLimiter
from service.accounts.shared_connection import Connection
from service.accounts.shared_limits import SharedLimiter
from service.config import SharedConfig
from service.mendable import ConfigError
from telemetry.metrics import Metrics


def limiter(shared: SharedConfig | None, metrics: Metrics, chance: random.Random) -> Limiter:
    """Return what counts limits, not started yet. Raises ConfigError."""
    if shared is None:
        return LocalLimiter(lambda: time.monotonic_ns() // 1000, metrics)
    return shared_limiter(shared, metrics, chance)


def shared_limiter(
    shared: SharedConfig, metrics: Metrics, chance: random.Random, **settings: Any
) -> SharedLimiter:
    """Return what counts limits on a server; `settings` are SharedLimiter's. Raises ConfigError."""
    try:
        from redis.asyncio import ConnectionPool  # noqa: PLC0415 - only where it is configured
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import ResponseError  # noqa: PLC0415
    except ImportError:
        raise ConfigError("shared.url: needs pip install 'llmbase[shared]'") from None
    # How long things take is the line's to say, and whether they are tried again.
    try:
        pool = ConnectionPool.from_url(
            shared.url.get_secret_value(),
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            client_name="llmbase",
        )
        make: Callable[[], Connection] = pool.make_connection
        make()  # a wrong option would be told of only when a call comes
    except (TypeError, ValueError):
        # Whatever it says may quote the password.
        raise ConfigError("shared.url: cannot be read as a URL of Redis") from None
    return SharedLimiter(
        make,
        ResponseError,
        shared.timeout,
        metrics,
        chance,
        closed=shared.when_down == "closed",
        **settings,
    )
