"""From a provider's configuration to the provider: connections, key, dialect put together."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.config import ProviderConfig
from service.mendable import ConfigError
from service.providers.credentials import build as credentials
from service.providers.credentials.credentials import Credentials
from service.providers.dialects import DIALECTS
from service.providers.embedded import DEFAULT_CONTEXT_LENGTH, EmbeddedEngine
from service.providers.http_client.client import HttpClient
from service.providers.http_client.dialing import Dialer
from service.providers.http_provider import HttpProvider
from service.providers.images import ImageFetcher
from service.providers.llmbase_provider import LlmbaseProvider, open_channel
from service.providers.model_store import DEFAULT_MODEL
from service.providers.provider import AnyProvider
from service.providers.provider_facts import provider_facts
from service.providers.unknown_words import UnknownWords
from telemetry.metrics import Metrics


def check(providers: Mapping[str, ProviderConfig]) -> None:
    """Raise ConfigError for a dialect that does not exist, or a base URL that is missing."""
    for name, config in providers.items():
        if config.dialect not in DIALECTS:
            known = ", ".join(sorted(DIALECTS))
            raise ConfigError(f"providers.{name}.dialect: must be one of {known}")
        if config.dialect != "embedded" and _base_url(config) is None:
            raise ConfigError(f"providers.{name}.base_url: is required for {config.dialect}")


@dataclass(frozen=True, slots=True)
class Trust:
    """How a provider knows us, and whom we trust to be the provider."""

    headers: Mapping[str, str] = field(repr=False)
    credentials: Credentials | None = None  # None: the headers say it all
    tls: ssl.SSLContext | None = None  # None: the system's roots
    roots: bytes | None = None  # the certificates of `tls` once more (PEM), for gRPC
    files: str = ""  # a digest of the files that the configuration names: it changes as they do


def trust(name: str, config: ProviderConfig) -> Trust:
    """Return what the configuration's secrets and certificates make; holds nothing open.

    Apart from `build`, so that nothing is open yet when a file or a library turns out to be
    missing. To be called after `check`; raises ConfigError.
    """
    spec = DIALECTS[config.dialect]
    known_by, more = credentials.build(
        name,
        config.api_key,
        config.credentials,
        key_header=spec.key_header,
        tokens=spec.tokens,
    )
    account = _read(config.credentials.service_account_file)
    if config.ca_file is None:
        return Trust(known_by, more, files=_digest(account))
    try:
        tls = ssl.create_default_context(cafile=config.ca_file)
        roots = Path(config.ca_file).read_bytes()
    except OSError as error:
        raise ConfigError(f"providers.{name}.ca_file: cannot be read: {error}") from None
    return Trust(known_by, more, tls, roots, _digest(account, roots))


def trust_all(providers: Mapping[str, ProviderConfig]) -> dict[str, Trust]:
    """Check all providers, and return how each knows us and whom we trust to be it.

    Reads files, so it may be slow; needs no loop. Raises ConfigError.
    """
    check(providers)
    return {name: trust(name, config) for name, config in providers.items()}


def build(
    name: str,
    config: ProviderConfig,
    trusted: Trust,
    engine: EmbeddedEngine | None,
    images: ImageFetcher,
    metrics: Metrics,
    version: str,
) -> AnyProvider:
    """Return a provider that owns its connections. Needs a running loop."""
    spec = DIALECTS[config.dialect]
    own_headers = {key: value.get_secret_value() for key, value in config.headers.items()}
    if spec.make is None:
        return _llmbase(name, config, trusted, own_headers, version)
    dialer = Dialer(
        config.timeouts.connect,
        tls=trusted.tls,
        proxy=config.proxy,
        unix=str(engine.socket) if engine else None,
    )
    return HttpProvider(
        name,
        spec.build(config, UnknownWords(name, metrics)),
        HttpClient(dialer),
        (engine.base_url if engine else _base_url(config)) or "",
        timeouts=config.timeouts,
        largest_answer=config.max_answer_bytes,
        headers={
            "Content-Type": "application/json",
            "User-Agent": f"llmbase/{version}",
            **own_headers,
            **trusted.headers,
        },
        credentials=trusted.credentials,
        images=images,
        secrets=secrets(config),
        facts=provider_facts(config.dialect, None if engine else _base_url(config)),
    )


def _llmbase(
    name: str, config: ProviderConfig, trusted: Trust, headers: Mapping[str, str], version: str
) -> LlmbaseProvider:
    metadata = {key.lower(): value for key, value in headers.items()}
    if config.api_key is not None:
        metadata.setdefault("authorization", f"Bearer {config.api_key.get_secret_value()}")
    channel = open_channel(
        config.base_url or "",
        connect=config.timeouts.connect,
        roots=trusted.roots,
        user_agent=f"llmbase/{version}",
    )
    return LlmbaseProvider(
        name,
        channel,
        timeouts=config.timeouts,
        metadata=tuple(metadata.items()),
        secrets=secrets(config),
        facts=provider_facts(config.dialect, config.base_url),
    )


def engines(
    providers: Mapping[str, ProviderConfig], models_directory: Path
) -> dict[str, EmbeddedEngine]:
    """Return the local engines, not started, of the providers that are embedded."""
    return {
        name: EmbeddedEngine(
            config.model or DEFAULT_MODEL,
            models_dir=models_directory,
            n_threads=config.threads,
            context_length=config.context_length or DEFAULT_CONTEXT_LENGTH,
        )
        for name, config in providers.items()
        if config.dialect == "embedded"
    }


def _read(path: str | None) -> bytes:
    """Return a file's content; of one that is gone since it was used, none."""
    if path is None:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(it).digest() for it in contents)).hexdigest()


def _base_url(config: ProviderConfig) -> str | None:
    """Return the endpoint: the configuration's, or the provider's own in the place it names."""
    if config.base_url is not None:
        return config.base_url
    usual = DIALECTS[config.dialect].base_url
    if usual is None:
        return None
    return usual.format(
        region=config.credentials.region or "us-east-1", vertex_host=_vertex_host(config.location)
    )


def _vertex_host(location: str) -> str:
    """Return Vertex AI's host: global, of a multi-region (us, eu), or of a region."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def all_secrets(providers: Mapping[str, ProviderConfig]) -> tuple[str, ...]:
    """Return what must not be told of any of them."""
    return tuple(secret for config in providers.values() for secret in secrets(config))


def secrets(config: ProviderConfig) -> tuple[str, ...]:
    """Return what must not be told to anybody, even if the provider says it."""
    given = (
        config.api_key,
        config.credentials.secret_access_key,
        config.credentials.session_token,
        config.credentials.client_secret,
        *config.headers.values(),
    )
    return tuple(secret.get_secret_value() for secret in given if secret is not None)
