"""Google tokens, by google-auth: a service account's file, or the application's default credentials
(environment, gcloud, workload identity, metadata service)."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import Any

from service.providers.credentials.credentials import BearerToken, Token

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def google_token(service_account_file: str | None = None) -> BearerToken:
    """Return credentials for Google Cloud. Needs the extra `llmbase[vertex]`.

    Raises OSError or ValueError for a service account's file that cannot be used.
    """
    import google.auth  # noqa: PLC0415 - an extra, and slow to import
    from google.auth.transport.requests import Request  # noqa: PLC0415
    from google.oauth2.service_account import Credentials  # noqa: PLC0415

    known: Any = None
    if service_account_file is not None:
        load: Any = Credentials.from_service_account_file  # untyped
        known = load(service_account_file, scopes=_SCOPES)

    def fetch() -> Token:
        nonlocal known
        if known is None:
            known, _ = google.auth.default(scopes=_SCOPES)
        known.refresh(Request())
        return Token(known.token, known.expiry.replace(tzinfo=UTC).timestamp())

    return BearerToken(lambda: asyncio.to_thread(fetch))
