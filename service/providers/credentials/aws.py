"""AWS Signature Version 4, by botocore: keys from the configuration, or AWS's own usual chain.

The chain is environment, profile, web identity (IRSA), container and instance role. It may read
files and ask metadata services, so it runs in a thread; signing takes no I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from service.providers.credentials.renewed import Renewed

_CONNECT = 5  # seconds that STS may take to be connected to
_ANSWER = 10  # seconds that STS may take to answer
_TRIES = 2


class _Keys(NamedTuple):
    frozen: Any  # one consistent set of keys, to sign with
    source: Any  # what it was taken from, which knows when it ends


class SigV4:
    """Signs requests for one service in one region. Needs the extra `llmbase[bedrock]`.

    Where no keys are given the chain looks for them. Raises botocore's BotoCoreError for a profile
    that is not there, and for AWS's own files when they cannot be read. `provider` is a name for
    the log.
    """

    def __init__(
        self,
        provider: str,
        region: str,
        *,
        service: str = "bedrock",
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        profile: str | None = None,
    ) -> None:
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - an extra, and slow to import
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        self._auth, self._request = SigV4Auth, AWSRequest
        self._service = service
        self._region = region
        self._session = _session(profile, region)
        if access_key_id and secret_access_key:
            self._session.set_credentials(access_key_id, secret_access_key, session_token)
        else:
            self._session.get_scoped_config()  # reads the files
        self._keys = Renewed(provider, lambda: asyncio.to_thread(self._look_up), _ends_within)

    async def authorize(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[str, Mapping[str, str]]:
        """Sign. Waits for keys only when there are none that still hold."""
        keys = await self._keys.get()
        request = self._request(method="POST", url=url, data=body, headers=dict(headers))
        self._auth(keys.frozen, self._service, self._region).add_auth(request)
        return url, dict(request.headers.items())

    async def close(self) -> None:
        """End what runs in the background."""
        await self._keys.close()

    def _look_up(self) -> _Keys:
        from botocore.exceptions import NoCredentialsError  # noqa: PLC0415

        source = self._session.get_credentials()
        if source is None:
            raise NoCredentialsError
        # Keys that end are fetched again by botocore here, when less than ten minutes are left.
        return _Keys(source.get_frozen_credentials(), source)


def _session(profile: str | None, region: str) -> Any:
    from botocore.config import Config  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    session = Session(profile=profile)
    session.set_config_variable("region", region)  # STS is asked in the same region
    session.set_default_client_config(
        Config(
            connect_timeout=_CONNECT,
            read_timeout=_ANSWER,
            retries={"total_max_attempts": _TRIES, "mode": "standard"},
        )
    )
    return session


def _ends_within(keys: _Keys, seconds: float) -> bool:
    """Ask botocore, without I/O, when the keys end. Those of a file or a variable never do."""
    from botocore.credentials import RefreshableCredentials  # noqa: PLC0415

    if not isinstance(keys.source, RefreshableCredentials):
        return False
    return bool(keys.source.refresh_needed(seconds))
