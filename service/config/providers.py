"""What can be set of a provider: an endpoint, how it knows us, how long it may take."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from service.config.values import Duration, Frozen, Name

_HTTP_URL = r"https?://[^\s/]+.*"
_GRPC_URL = r"grpcs?://[^\s/@]+:\d{1,5}|unix:/.+"
_METADATA_KEY = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)")  # keys that hold text


class TimeoutsConfig(Frozen):
    """How long a provider may take."""

    connect: Duration = Field(default=5.0, description="Until the connection stands.")
    first_content: Duration | None = Field(
        default=None,
        description="From the start of an attempt to its first content, reasoning or tool call. "
        "Default: 30s for a stream; a whole answer, which takes as long as its last token, "
        "is bounded by `total` unless this is set.",
    )
    idle: Duration = Field(
        default=30.0, description="Longest silence of a stream after its first content."
    )
    min_rate: float | None = Field(
        default=None,
        gt=0,
        description="Characters a second that a stream has to bring after its first content, over "
        "ten seconds of waiting for it. Default: none; pings then keep a stream alive until "
        "`total`.",
    )
    total: Duration = Field(
        default=600.0, description="The whole attempt; the call then ends with DEADLINE_EXCEEDED."
    )


class BreakerConfig(Frozen):
    """When a failing target is left alone, and for how long."""

    enabled: bool = True
    failures: int = Field(default=5, ge=1, description="In a row, of one kind, that open it.")
    open: Duration = Field(
        default=1.0, description="How long the first time; twice as long each time after."
    )
    max_open: Duration = Field(default=60.0, description="How long at most.")


class CredentialsConfig(Frozen):
    """How a provider knows us, where it is not by `api_key` in the dialect's own way."""

    scheme: Literal["bearer", "header", "query"] | None = Field(
        default=None, description="How `api_key` is sent, where it is not the dialect's own way."
    )
    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Name of the header or query parameter, for those schemes.",
    )
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$", description="AWS region.")
    profile: str | None = Field(default=None, description="AWS profile.")
    access_key_id: str | None = Field(default=None, description="AWS; else its usual chain.")
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    service_account_file: str | None = Field(
        default=None, description="Google; else the application's default credentials."
    )
    tenant_id: str | None = Field(default=None, description="Azure Entra; else its usual chain.")
    client_id: str | None = None
    client_secret: SecretStr | None = None

    @model_validator(mode="after")
    def _scheme_has_a_name(self) -> CredentialsConfig:
        if self.scheme in ("header", "query") and not self.name:
            raise ValueError("`name` is required for the schemes header and query")
        return self


class ProviderConfig(Frozen):
    """An endpoint, its key, its limits and its dialect."""

    dialect: Name = Field(description="The provider's wire format, such as openai or embedded.")
    base_url: str | None = Field(
        default=None,
        pattern=f"^({_HTTP_URL}|{_GRPC_URL})$",
        description="What the provider's own SDK calls its base URL. Default: the provider's own. "
        "Another llmbase is at grpc://HOST:PORT, grpcs://HOST:PORT (TLS) or unix:/PATH.",
    )
    api_key: SecretStr | None = Field(default=None, description="Sent as the dialect wants it.")
    credentials: CredentialsConfig = CredentialsConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
    max_answer_bytes: int = Field(
        default=64 * 2**20,
        ge=1024,
        description="Of one answer, whole or streamed: bounds what a stream can hold in memory.",
    )
    breaker: BreakerConfig = BreakerConfig()
    headers: dict[str, SecretStr] = Field(default={}, description="Added to every request.")
    extra_body: dict[str, Any] = Field(
        default={}, description="Added to every request's JSON body; the request's own fields win."
    )
    proxy: str | None = Field(default=None, description="HTTP proxy URL.")
    ca_file: str | None = Field(default=None, description="CA certificates (PEM) to trust instead.")
    api_version: str | None = Field(
        default=None,
        description="Azure only: for deployment URLs. Default: the newer /openai/v1 form.",
    )
    project: str | None = Field(default=None, description="Vertex only: the Google Cloud project.")
    location: str = Field(
        default="global", pattern=r"^[a-z0-9-]+$", description="Vertex only: the region."
    )
    model: str | None = Field(
        default=None,
        description="Embedded only: a GGUF path or a name that `llmbase model pull` knows.",
    )
    threads: int | None = Field(
        default=None, ge=1, description="Embedded only. Default: one less than there are cores."
    )
    context_length: int | None = Field(
        default=None,
        ge=64,
        description="Embedded and Ollama only: tokens of each conversation. Default: 2048, "
        "and Ollama's own.",
    )

    @model_validator(mode="after")
    def _keys_of_another_llmbase_fit(self) -> ProviderConfig:
        url = self.base_url or ""
        over_grpc = url.startswith(("grpc", "unix:"))
        if self.dialect != "llmbase":
            if over_grpc:
                raise ValueError("`base_url` must be an http(s) URL, but for `dialect: llmbase`")
            return self
        if url and not over_grpc:
            raise ValueError("`base_url` must be grpc://HOST:PORT, grpcs://HOST:PORT or unix:/PATH")
        for key in ("credentials", "extra_body", "proxy"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` is not for `dialect: llmbase`")
        if self.ca_file is not None and not url.startswith("grpcs:"):
            raise ValueError("`ca_file` needs a `base_url` with grpcs://")
        for key, secret in (*self.headers.items(), ("api_key", self.api_key)):
            value = secret.get_secret_value() if secret is not None else ""
            if not (_METADATA_KEY.fullmatch(key.lower()) and re.fullmatch("[ -~]*", value)):
                raise ValueError(f"`{key}` cannot be sent: gRPC takes visible ASCII only")
        return self

    @model_validator(mode="after")
    def _embedded_keys_fit(self) -> ProviderConfig:
        if self.dialect != "embedded" and (self.model is not None or self.threads is not None):
            raise ValueError("`model` and `threads` are for `dialect: embedded`")
        if self.dialect not in ("embedded", "ollama") and self.context_length is not None:
            raise ValueError("`context_length` is for `dialect: embedded` and `dialect: ollama`")
        return self


class ImagesConfig(Frozen):
    """Fetching `https:` images for providers that take bytes only."""

    fetch: bool = Field(default=True, description="Whether images are fetched at all.")
    private_networks: bool = Field(
        default=False, description="Whether they may be fetched from addresses that are not public."
    )
    max_bytes: int = Field(default=20 * 2**20, ge=1, description="Largest image, in bytes.")
    timeout: Duration = Field(default=10.0, description="Until an image is here.")
