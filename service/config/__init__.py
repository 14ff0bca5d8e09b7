"""The configuration file as frozen models: everything that can be set, its range and its default.

Unknown keys are errors. `service/config_file.py` reads the file; nothing else in the service
touches files or the environment.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from service.config.accounts import (
    AccessConfig,
    AccountsConfig,
    IdentityConfig,
    KeyConfig,
    SharedConfig,
    SpendCapConfig,
    StoreConfig,
)
from service.config.models import HedgeConfig, ModelConfig, PricingConfig, TargetConfig
from service.config.providers import (
    BreakerConfig,
    CredentialsConfig,
    ImagesConfig,
    ProviderConfig,
    TimeoutsConfig,
)
from service.config.server import (
    AdmissionConfig,
    ConnectionsConfig,
    IdempotencyConfig,
    ServerConfig,
    TelemetryConfig,
    TlsConfig,
)
from service.config.values import Feature, Frozen, ModelId, Name

__all__ = [
    "AccessConfig",
    "AccountsConfig",
    "AdmissionConfig",
    "BreakerConfig",
    "Config",
    "ConnectionsConfig",
    "CredentialsConfig",
    "Feature",
    "HedgeConfig",
    "IdempotencyConfig",
    "IdentityConfig",
    "ImagesConfig",
    "KeyConfig",
    "ModelConfig",
    "PricingConfig",
    "ProviderConfig",
    "ServerConfig",
    "SharedConfig",
    "SpendCapConfig",
    "StoreConfig",
    "TargetConfig",
    "TelemetryConfig",
    "TimeoutsConfig",
    "TlsConfig",
]


class Config(Frozen):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    admission: AdmissionConfig = AdmissionConfig()
    idempotency: IdempotencyConfig = IdempotencyConfig()
    providers: dict[Name, ProviderConfig]
    models: dict[ModelId, ModelConfig]
    store: StoreConfig | None = Field(
        default=StoreConfig(),
        description="Where accounts are kept; null: nowhere, and only static keys are known.",
    )
    shared: SharedConfig | None = Field(
        default=None, description="Where replicas count limits together. Default: each for itself."
    )
    accounts: AccountsConfig = AccountsConfig()
    keys: tuple[KeyConfig, ...] = Field(
        default=(), description="Static keys, beside those in the store."
    )
    identities: tuple[IdentityConfig, ...] = Field(
        default=(), description="Callers known by their certificates; the first that matches."
    )
    images: ImagesConfig = ImagesConfig()
    telemetry: TelemetryConfig = TelemetryConfig()

    @model_validator(mode="after")
    def _who_pays_is_kept(self) -> Config:
        for part in ("keys", "identities"):
            for i, caller in enumerate(getattr(self, part)):
                if self.store is None and (caller.account or caller.spend_cap):
                    raise ValueError(f"{part}.{i}: `account` and `spend_cap` need a `store`")
        return self

    @model_validator(mode="after")
    def _callers_have_names_of_their_own(self) -> Config:
        # Limits, caps and kept answers are by name.
        for part in ("keys", "identities"):
            names = [caller.name for caller in getattr(self, part)]
            for i, name in enumerate(names):
                if name in names[:i]:
                    raise ValueError(f"{part}.{i}.name: {name!r} is taken by another one")
        return self

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
