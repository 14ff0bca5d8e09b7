"""Google tokens, by google-auth: a service account's file, or the application's default credentials
(environment, gcloud, workload identity, metadata service)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC
from typing import Any

from service.providers.credentials.credentials import BearerToken, Token

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_ANSWER = 10  # seconds that a token endpoint may take
_UNSAID = 600.0  # seconds that a token is taken to last which does not say so


def google_token(provider: str, service_account_file: str | None = None) -> BearerToken:
    """Return credentials for Google Cloud. Needs the extra `llmbase[vertex]`.

    Raises OSError or ValueError for a service account's file that cannot be used. `provider` is
    a name for the log.
    """
    import google.auth  # noqa: PLC0415 - an extra, and slow to import
    from google.auth.credentials import with_scopes_if_required  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415
    from google.oauth2.service_account import Credentials  # noqa: PLC0415

    class PromptRequest(Request):
        """Waits less long than the library does where nobody says how long."""

        def __call__(self, *args: Any, **options: Any) -> Any:
            ask: Any = super().__call__  # untyped
            return ask(*args, **{"timeout": _ANSWER, **options})

    known: Any = None
    if service_account_file is not None:
        load: Any = Credentials.from_service_account_file  # untyped
        known = load(service_account_file, scopes=_SCOPES)

    def fetch() -> Token:
        nonlocal known
        if known is None:
            # With scopes the library would go on to ask for the project's name, and fail with it.
            found: Any = google.auth.default()[0]
            scoped: Any = with_scopes_if_required  # untyped
            known = scoped(found, _SCOPES)
        known.refresh(PromptRequest())
        if known.expiry is None:
            return Token(known.token, time.time() + _UNSAID)
        return Token(known.token, known.expiry.replace(tzinfo=UTC).timestamp())

    return BearerToken(provider, lambda: asyncio.to_thread(fetch))
