"""What can be set of accounts: where they are kept, who may call, how much."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, field_validator

from service.config.values import Duration, Frozen, Name, Price, Sha256

_STORE_URLS = ("sqlite:///", "postgresql://")
_SHARED_URLS = ("redis://", "rediss://", "unix://")


class StoreConfig(Frozen):
    """Where accounts, keys and the ledger are kept."""

    url: SecretStr | None = Field(
        default=None,
        description="sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME. "
        "Default: llmbase.db in the user's data directory.",
    )
    spool: Path | None = Field(
        default=None,
        description="Directory that keeps what is settled while the store is away. "
        "Default: `spool` in the user's data directory.",
    )

    @field_validator("url")
    @classmethod
    def _is_known(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(_STORE_URLS):
            raise ValueError(f"must begin with one of {', '.join(_STORE_URLS)}")
        return url


class SharedConfig(Frozen):
    """A Redis or Valkey server that replicas count their limits in together."""

    url: SecretStr = Field(description="redis://, rediss:// or unix://.")
    timeout: Duration = Field(
        default=0.05, description="How long one answer may take; slower counts as none."
    )
    when_down: Literal["open", "closed"] = Field(
        default="open",
        description="While it does not answer: open counts in the process alone, closed refuses "
        "(503).",
    )

    @field_validator("url")
    @classmethod
    def _is_known(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(_SHARED_URLS):
            raise ValueError(f"must begin with one of {', '.join(_SHARED_URLS)}")
        return url


class AccountsConfig(Frozen):
    """What holds for all accounts."""

    max_active: int = Field(
        default=20, ge=1, description="Calls of an account that may be open at a time."
    )
    unpriced: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="What becomes of calls of a prepaid account, or under a spend cap, to a model "
        "without a price: allow answers them for nothing.",
    )
    store_down: Literal["refuse", "serve"] = Field(
        default="refuse",
        description="What becomes of calls that need money reserved while the store is away: serve "
        "answers those of known keys, and settles them later.",
    )
    key_age: Duration = Field(
        default=2.0,
        le=4.0,
        description="How old what is known of a key may be: a revocation is felt after that.",
    )


class SpendCapConfig(Frozen):
    """How a key's spending is bounded."""

    usd: Price = Field(description="US dollars in each period.")
    period: Literal["day", "month", "total"] = Field(description="By the calendar, in UTC.")


class AccessConfig(Frozen):
    """What the holder of a static key, or of an identity, may do, and who pays."""

    name: Name
    account: Name | None = Field(
        default=None,
        description="The account that pays. Default: nobody; calls are recorded as the operator's.",
    )
    models: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=("*",), description="Ids that may be used; `*` matches anything."
    )
    admin: bool = Field(default=False, description="Whether accounts and keys may be managed.")
    max_active: int | None = Field(
        default=None,
        ge=1,
        description="Calls that may be open at a time. Default: the account's bound alone.",
    )
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Of prompts and answers together."
    )
    spend_cap: SpendCapConfig | None = None


class KeyConfig(AccessConfig):
    """A static API key, known by its hash only."""

    sha256: Sha256 = Field(description="Hex digest of sha256(key).")


class IdentityConfig(AccessConfig):
    """A caller that is known by its client certificate: no API key is needed."""

    uri: Annotated[str, StringConstraints(pattern=r"^spiffe://[!-~]+$")] = Field(
        description="The certificate's URI, as SPIFFE has it; `*` matches anything."
    )
