"""From the configuration to credentials: an API key in the dialect's way, or a cloud's tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr

from service.config import CredentialsConfig
from service.config_file import ConfigError
from service.providers.credentials.aws import SigV4
from service.providers.credentials.azure import azure_token
from service.providers.credentials.credentials import Credentials, QueryKey, StaticHeaders
from service.providers.credentials.google import google_token

_EXTRAS = {"aws": "bedrock", "google": "vertex", "azure": "azure"}


def build(
    name: str,
    api_key: SecretStr | None,
    config: CredentialsConfig,
    *,
    key_header: tuple[str, str],
    tokens: Literal["aws", "google", "azure"] | None,
) -> Credentials:
    """Return a provider's credentials. Raises ConfigError, also for an extra that is missing."""
    if api_key is not None:
        return _of_key(api_key.get_secret_value(), config, key_header)
    if tokens is None:
        return StaticHeaders({})
    try:
        return _of_cloud(tokens, config)
    except ImportError:
        raise ConfigError(
            f"providers.{name}: its credentials need pip install 'llmbase[{_EXTRAS[tokens]}]'"
        ) from None
    except (OSError, ValueError) as error:
        # The text may quote the file: its type is enough.
        raise ConfigError(
            f"providers.{name}.credentials: cannot be used: {type(error).__name__}"
        ) from None


def _of_key(key: str, config: CredentialsConfig, key_header: tuple[str, str]) -> Credentials:
    if config.scheme == "query":
        return QueryKey(config.name or "", key)
    if config.scheme == "header":
        return StaticHeaders({config.name or "": key})
    header, prefix = ("Authorization", "Bearer ") if config.scheme == "bearer" else key_header
    return StaticHeaders({header: prefix + key})


def _of_cloud(tokens: Literal["aws", "google", "azure"], config: CredentialsConfig) -> Credentials:
    if tokens == "google":
        return google_token(config.service_account_file)
    if tokens == "azure":
        return azure_token(config.tenant_id, config.client_id, _plain(config.client_secret))
    return SigV4(
        config.region or "us-east-1",
        access_key_id=config.access_key_id,
        secret_access_key=_plain(config.secret_access_key),
        session_token=_plain(config.session_token),
        profile=config.profile,
    )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
