"""Azure Entra tokens, by azure-identity: a client secret from the configuration, or its default
chain (environment, workload identity, managed identity, Azure CLI)."""

from __future__ import annotations

import asyncio

from service.providers.credentials.credentials import BearerToken, Token

_SCOPE = "https://cognitiveservices.azure.com/.default"


def azure_token(
    tenant_id: str | None = None, client_id: str | None = None, client_secret: str | None = None
) -> BearerToken:
    """Return credentials for Azure OpenAI. Needs the extra `llmbase[azure]`."""
    from azure.identity import ClientSecretCredential, DefaultAzureCredential  # noqa: PLC0415

    known: ClientSecretCredential | DefaultAzureCredential
    if tenant_id and client_id and client_secret:
        known = ClientSecretCredential(tenant_id, client_id, client_secret)
    else:
        known = DefaultAzureCredential()

    def fetch() -> Token:
        token = known.get_token(_SCOPE)
        return Token(token.token, token.expires_on)

    return BearerToken(lambda: asyncio.to_thread(fetch))
