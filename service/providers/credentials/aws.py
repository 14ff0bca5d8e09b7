"""AWS Signature Version 4, by botocore: keys from the configuration, or AWS's own usual chain.

The chain is environment, profile, web identity (IRSA), container and instance role. It may read
files and ask metadata services, so it runs in a thread, and again in the background.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from service.errors import FaultKind, ProviderFault

_FRESH = 60.0  # seconds for which frozen keys are used without asking botocore whether they hold


class SigV4:
    """Signs requests for one service in one region. Needs the extra `llmbase[bedrock]`."""

    def __init__(
        self,
        region: str,
        *,
        service: str = "bedrock",
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        profile: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - an extra, and slow to import
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415
        from botocore.session import Session  # noqa: PLC0415

        self._auth, self._request = SigV4Auth, AWSRequest
        self._session = Session(profile=profile)
        if access_key_id and secret_access_key:
            self._session.set_credentials(access_key_id, secret_access_key, session_token)
        self._service = service
        self._region = region
        self._clock = clock
        self._keys: Any = None
        self._frozen_at = 0.0
        self._freezing: asyncio.Task[None] | None = None

    async def authorize(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, Mapping[str, str]]:
        """Sign. Waits for keys only when there are none yet."""
        if self._keys is None:
            await asyncio.shield(self._start())
        elif self._clock() - self._frozen_at > _FRESH:
            self._start().add_done_callback(_heard)
        request = self._request(method="POST", url=url, data=body, headers=dict(headers))
        self._auth(self._keys, self._service, self._region).add_auth(request)
        return url, dict(request.headers.items())

    async def close(self) -> None:
        """Wait for a look-up that is going on."""
        if self._freezing is not None:
            await asyncio.wait([self._freezing])

    def _start(self) -> asyncio.Task[None]:
        if self._freezing is None or self._freezing.done():
            self._freezing = asyncio.get_running_loop().create_task(self._freeze())
        return self._freezing

    async def _freeze(self) -> None:
        try:
            keys = await asyncio.to_thread(self._look_up)
        except Exception as error:
            raise ProviderFault(
                FaultKind.CONNECT, f"no AWS credentials: {type(error).__name__}"
            ) from None
        if keys is None:
            raise ProviderFault(FaultKind.CONNECT, "no AWS credentials were found")
        self._keys, self._frozen_at = keys, self._clock()

    def _look_up(self) -> Any:
        found = self._session.get_credentials()
        # Keys that expire are fetched again by botocore, some minutes before they do.
        return None if found is None else found.get_frozen_credentials()


def _heard(freezing: asyncio.Task[None]) -> None:
    """Take the outcome: keys that were found before are used on, and the next call tries again."""
    if not freezing.cancelled():
        freezing.exception()
