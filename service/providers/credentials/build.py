"""From the configuration to credentials: an API key in the dialect's way, or a cloud's tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr

from service.config import CredentialsConfig
from service.mendable import ConfigError
from service.providers.credentials.aws import SigV4
from service.providers.credentials.azure import azure_token
from service.providers.credentials.credentials import Credentials, QueryKey
from service.providers.credentials.google import google_token

Cloud = Literal["aws", "google", "azure"]

_EXTRAS = {"aws": "bedrock", "google": "vertex", "azure": "azure"}
_BY_KEY = frozenset({"scheme", "name"})
_BY_CLOUD = {
    "aws": frozenset({"region", "profile", "access_key_id", "secret_access_key", "session_token"}),
    "google": frozenset({"service_account_file"}),
    "azure": frozenset({"tenant_id", "client_id", "client_secret"}),
}
# A field, and what it says nothing without.
_NEEDS = {
    "access_key_id": {"secret_access_key"},
    "secret_access_key": {"access_key_id"},
    "session_token": {"access_key_id", "secret_access_key"},
    "client_secret": {"tenant_id", "client_id"},
}


def build(
    name: str,
    api_key: SecretStr | None,
    config: CredentialsConfig,
    *,
    key_header: tuple[str, str],
    tokens: Cloud | None,
) -> tuple[dict[str, str], Credentials | None]:
    """Return the headers by which a provider knows us, and what it takes besides, if anything.

    Raises ConfigError, also for an extra that is missing.
    """
    _check(name, config, by_key=api_key is not None, tokens=tokens)
    if api_key is not None:
        key = api_key.get_secret_value()
        if not key or not key.isascii() or not key.isprintable() or key != key.strip():
            raise ConfigError(
                f"providers.{name}.api_key: must be printable ASCII without space around it"
            )
        return _of_key(key, config, key_header)
    if tokens is None:
        return {}, None
    try:
        return {}, _of_cloud(name, tokens, config)
    except ImportError:
        raise ConfigError(
            f"providers.{name}: its credentials need pip install 'llmbase[{_EXTRAS[tokens]}]'"
        ) from None
    except Exception as error:
        # The clouds' libraries raise all sorts for a file that is not what it should be. The text
        # may quote the file: its type is enough.
        raise ConfigError(
            f"providers.{name}.credentials: cannot be used: {type(error).__name__}"
        ) from None


def _check(name: str, config: CredentialsConfig, *, by_key: bool, tokens: Cloud | None) -> None:
    """Refuse what would silently do nothing: requests would go out as somebody else, or nobody."""
    given = {field for field in config.model_fields_set if getattr(config, field) is not None}
    useful = _BY_KEY if by_key else _BY_CLOUD.get(tokens or "", frozenset())
    if tokens == "aws":
        useful |= {"region"}  # the endpoint is in it, too
    place = f"providers.{name}.credentials"
    for field in sorted(given - useful):
        where = "beside an api_key" if by_key else "for this dialect"
        if field in _BY_KEY:
            where = "without an api_key"
        raise ConfigError(f"{place}.{field}: has no meaning {where}")
    for field in sorted(given & _NEEDS.keys()):
        for missing in sorted(_NEEDS[field] - given):
            raise ConfigError(f"{place}.{field}: needs {missing}")
    if {"profile", "access_key_id"} <= given:
        raise ConfigError(f"{place}: profile and access_key_id exclude each other")


def _of_key(
    key: str, config: CredentialsConfig, key_header: tuple[str, str]
) -> tuple[dict[str, str], Credentials | None]:
    if config.scheme == "query":
        return {}, QueryKey(config.name or "", key)
    if config.scheme == "header":
        return {config.name or "": key}, None
    header, prefix = ("Authorization", "Bearer ") if config.scheme == "bearer" else key_header
    return {header: prefix + key}, None


def _of_cloud(name: str, tokens: Cloud, config: CredentialsConfig) -> Credentials:
    if tokens == "google":
        return google_token(name, config.service_account_file)
    if tokens == "azure":
        return azure_token(name, config.tenant_id, config.client_id, _plain(config.client_secret))
    return SigV4(
        name,
        config.region or "us-east-1",
        access_key_id=config.access_key_id,
        secret_access_key=_plain(config.secret_access_key),
        session_token=_plain(config.session_token),
        profile=config.profile,
    )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
