"""The configuration file as frozen models: everything that can be set, its range and its default.

Unknown keys are errors. `service/config_file.py` reads the file; nothing else in the service
touches files or the environment.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_HTTP_URL = r"https?://[^\s/]+.*"
_GRPC_URL = r"grpcs?://[^\s/@]+:\d{1,5}|unix:/.+"
_METADATA_KEY = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)")  # keys that hold text

Feature = Literal["tools", "json_mode", "structured_outputs", "reasoning", "logprobs"]


def _seconds(value: object) -> object:
    """Read `300ms`, `2s`, `5m`, `1h` or a plain number of seconds."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if not match:
            raise ValueError("must be a duration such as 300ms, 2s, 5m or 1h")
        return float(match[1]) * _UNITS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a duration such as 300ms, 2s, 5m or 1h")
    return float(value)


def _decimal_text(value: object) -> object:
    """Keep a price as the text it was written as: money is never a float."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError('must be a decimal in quotes, such as "0.000001"')
    try:
        price = Decimal(value)
    except InvalidOperation:
        raise ValueError('must be a decimal in quotes, such as "0.000001"') from None
    if not price.is_finite() or price < 0:
        raise ValueError("must be zero or more")
    return format(price, "f")


def _listed(value: object) -> object:
    """Accept one value where a list is expected."""
    return [value] if isinstance(value, str) else value


Duration = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    BeforeValidator(_seconds),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h)$"}, {"type": "number"}]}
    ),
]
Price = Annotated[str, BeforeValidator(_decimal_text)]
Address = Annotated[str, StringConstraints(pattern=r"^(unix:.+|.*:\d{1,5})$")]
TcpAddress = Annotated[
    str, StringConstraints(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):\d{1,5}$")
]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
# Printable ASCII without comma, as ids travel in headers; `*` may only stand at the end.
ModelId = Annotated[str, StringConstraints(max_length=256, pattern=r"^[!-)+\--~]+\*?$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ServerConfig(_Frozen):
    """The gRPC door."""

    grpc: Annotated[tuple[Address, ...], BeforeValidator(_listed), Field(min_length=1)] = Field(
        default=("127.0.0.1:50051",),
        description="Addresses to listen on: HOST:PORT or unix:PATH; port 0 takes a free one.",
    )
    metrics: TcpAddress | None = Field(
        default=None,
        description="HOST:PORT where metrics are read (GET /metrics); default: nowhere.",
    )
    drain: Duration = Field(
        default=30.0, description="How long open calls may go on after SIGTERM."
    )
    public_models: bool = Field(
        default=False, description="Whether the models can be listed without an API key."
    )


class AdmissionConfig(_Frozen):
    """How many chat calls the process works on at a time, and how many may wait for their turn."""

    max_in_flight: int = Field(
        default=10_000,
        ge=1,
        description="Calls at a time, streams until they end; bounds the process's memory.",
    )
    max_queued: int = Field(
        default=100,
        ge=0,
        description="Calls that wait for a place; those beyond are refused with 503 at once.",
    )


class IdempotencyConfig(_Frozen):
    """How long, and how much of them, answers are kept for callers that ask again."""

    keep: Duration = Field(default=600.0, description="How long after its end an answer is kept.")
    resume_window: Duration = Field(
        default=30.0,
        description="How long a running answer goes on that nobody reads: its caller may be back.",
    )
    max_answer_bytes: int = Field(
        default=2**20, ge=1024, description="An answer that grows larger is not kept."
    )
    max_bytes: int = Field(
        default=64 * 2**20, ge=1024, description="Of all kept answers; the oldest go first."
    )


class TimeoutsConfig(_Frozen):
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


class BreakerConfig(_Frozen):
    """When a failing target is left alone, and for how long."""

    enabled: bool = True
    failures: int = Field(default=5, ge=1, description="In a row, of one kind, that open it.")
    open: Duration = Field(
        default=1.0, description="How long the first time; twice as long each time after."
    )
    max_open: Duration = Field(default=60.0, description="How long at most.")


class CredentialsConfig(_Frozen):
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


class ProviderConfig(_Frozen):
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


class PricingConfig(_Frozen):
    """US dollars per token, as decimals in quotes."""

    prompt: Price
    completion: Price
    input_cache_read: Price | None = None


class TargetConfig(_Frozen):
    """One way to get a model: a provider and its own name for the model."""

    provider: Name
    model: str | None = Field(
        default=None, description="Default: the model's id, or what a wildcard stands for."
    )
    weight: int = Field(
        default=1, ge=0, le=1_000_000, description="Share under `weighted`, and of sessions."
    )
    pricing: PricingConfig | None = Field(
        default=None, description="What this target costs. Default: the model's price."
    )
    max_in_flight: int | None = Field(
        default=None, ge=1, description="Attempts at a time; a full target is passed over."
    )
    continuation: bool = Field(
        default=False,
        description="Whether it goes on with a conversation that ends in an assistant's turn, so "
        "that it can take over a stream that broke.",
    )


class HedgeConfig(_Frozen):
    """Asking a second target when the first is slower than it usually is."""

    enabled: bool = True
    max_extra_cost: Price | None = Field(
        default=None,
        description="Most US dollars that a hedged call may cost beside the first attempt, "
        "at worst. Default: no bound.",
    )


class ModelConfig(_Frozen):
    """A public model: who can answer for it, and what it can do."""

    policy: Literal["priority", "weighted", "fastest", "cheapest"] = Field(
        default="priority", description="How targets are ordered."
    )
    affinity: bool = Field(
        default=True,
        description="Whether `weighted` and `fastest` keep a session (the request's "
        "`prompt_cache_key`, else its `user`) at one target, whose prompt cache stays warm.",
    )
    hedge: HedgeConfig | None = Field(
        default=None, description="Asking a second target when the first is slow. Default: never."
    )
    single_flight: bool = Field(
        default=False,
        description="Whether identical requests of one key that run at the same time share one "
        "answer.",
    )
    max_attempts: int | None = Field(
        default=None,
        ge=1,
        le=32,
        description="Over all targets; more than there are targets means repeats, after a pause. "
        "Default: each target once.",
    )
    parameters: Literal["strict", "warn", "drop"] = Field(
        default="warn",
        description="What becomes of a parameter that a target cannot honour: strict refuses the "
        "request, warn leaves it out and names it in the answer, drop leaves it out.",
    )
    targets: Annotated[tuple[TargetConfig, ...], Field(min_length=1)]
    fallbacks: tuple[str, ...] = Field(
        default=(), description="Models to try when all targets have failed, in order."
    )
    name: str | None = None
    description: str = ""
    created: int = Field(default=0, ge=0, description="Seconds since the Unix epoch.")
    context_length: int | None = Field(default=None, ge=1, le=2**31 - 1)
    max_output_length: int | None = Field(default=None, ge=1, le=2**31 - 1)
    input_modalities: tuple[Literal["text", "image"], ...] = ("text",)
    supported_features: tuple[Feature, ...] = ()
    supported_parameters: tuple[str, ...] = Field(
        default=(), description="Beyond the usual sampling parameters."
    )
    pricing: PricingConfig | None = None
    prompt_cache_supported: bool = False


class ImagesConfig(_Frozen):
    """Fetching `https:` images for providers that take bytes only."""

    fetch: bool = Field(default=True, description="Whether images are fetched at all.")
    private_networks: bool = Field(
        default=False, description="Whether they may be fetched from addresses that are not public."
    )
    max_bytes: int = Field(default=20 * 2**20, ge=1, description="Largest image, in bytes.")
    timeout: Duration = Field(default=10.0, description="Until an image is here.")


class KeyConfig(_Frozen):
    """A static API key, known by its hash only."""

    name: Name
    sha256: Sha256 = Field(description="Hex digest of sha256(key).")
    models: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=("*",), description="Ids the key may use; `*` matches anything."
    )


class Config(_Frozen):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    admission: AdmissionConfig = AdmissionConfig()
    idempotency: IdempotencyConfig = IdempotencyConfig()
    providers: dict[Name, ProviderConfig]
    models: dict[ModelId, ModelConfig]
    keys: tuple[KeyConfig, ...] = ()
    images: ImagesConfig = ImagesConfig()

    @model_validator(mode="after")
    def _references_exist(self) -> Config:
        for model_id, model in self.models.items():
            for i, target in enumerate(model.targets):
                if target.provider not in self.providers:
                    raise ValueError(
                        f"models.{model_id}.targets.{i}.provider: {target.provider!r} is not among "
                        f"the providers: {', '.join(sorted(self.providers)) or 'none'}"
                    )
            for fallback in model.fallbacks:
                if fallback not in self.models or fallback == model_id:
                    raise ValueError(
                        f"models.{model_id}.fallbacks: {fallback!r} is not another model"
                    )
        return self
