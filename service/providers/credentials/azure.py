"""Azure Entra tokens, by azure-identity: a client secret from the configuration, or its default
chain (environment, workload identity, managed identity, Azure CLI)."""

from __future__ import annotations

import asyncio

from service.providers.credentials.credentials import BearerToken, Token

_SCOPE = "https://cognitiveservices.azure.com/.default"
_CONNECT = 5  # seconds that a token endpoint may take to be connected to
_ANSWER = 10  # seconds that it may take to answer


def azure_token(
    provider: str,
    tenant_id: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
) -> BearerToken:
    """Return credentials for Azure OpenAI. Needs the extra `llmbase[azure]`.

    Without a secret, `tenant_id` and `client_id` say which identity of the chain's is meant.
    Raises ValueError for ids that cannot be. `provider` is a name for the log.
    """
    from azure.identity import ClientSecretCredential, DefaultAzureCredential  # noqa: PLC0415

    limits = {"connection_timeout": _CONNECT, "read_timeout": _ANSWER}
    known: ClientSecretCredential | DefaultAzureCredential
    if tenant_id and client_id and client_secret:
        known = ClientSecretCredential(tenant_id, client_id, client_secret, **limits)
    else:
        meant = {"managed_identity_client_id": client_id, "workload_identity_tenant_id": tenant_id}
        # What is not given must be left out: None would hide the environment's.
        given = {name: value for name, value in meant.items() if value is not None}
        known = DefaultAzureCredential(**given, **limits)

    def fetch() -> Token:
        token = known.get_token(_SCOPE)
        return Token(token.token, token.expires_on)

    return BearerToken(provider, lambda: asyncio.to_thread(fetch), release=known.close)
