"""The tables, as SQLAlchemy Core has them. Money is an integer of nano-dollars, time of seconds.

What changes here needs a migration beside it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()

LONGEST_PROVIDER = 130

ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("created", BigInteger, nullable=False),
    Column("prepaid", Boolean, nullable=False),
    # What has been credited less what has been settled. Reserved money is part of it.
    Column("balance_nanos", BigInteger, nullable=False, server_default="0"),
    Column("reserved_nanos", BigInteger, nullable=False, server_default="0"),
    Column("max_active", Integer),
)

CREDITS = Table(
    "credits",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("amount_nanos", BigInteger, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("models", Text, nullable=False),  # a JSON list of globs
    Column("cap_nanos", BigInteger),
    Column("cap_period", String(8)),  # day, month or total
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("max_active", Integer),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),  # may lie ahead: the end of a rotation's overlap
    Column("admin", Boolean, nullable=False, server_default="0"),
)

# What a key with a spend cap has spent in a period: 2026-11-26, 2026-11 or total.
KEY_SPEND = Table(
    "key_spend",
    METADATA,
    Column("key_id", String(80), primary_key=True),  # static keys and identities have no row above
    Column("period", String(10), primary_key=True),
    Column("spent_nanos", BigInteger, nullable=False, server_default="0"),
    Column("reserved_nanos", BigInteger, nullable=False, server_default="0"),
)

PRICE_TABLES = Table(
    "price_tables",
    METADATA,
    Column("version", String(16), primary_key=True),  # of its content: the same prices, the same
    Column("created", BigInteger, nullable=False),
    Column("prices", Text, nullable=False),  # JSON: model → class → US dollars a token
)

# Money that open calls hold. A row is written before the provider is called.
RESERVATIONS = Table(
    "reservations",
    METADATA,
    Column("call_id", String(32), primary_key=True),
    Column("request_id", String(128), nullable=False, index=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("key_id", String(80), nullable=False),
    Column("prepaid", Boolean, nullable=False),  # whether the account's money is held
    Column("period", String(10)),  # of the key's cap; null: it has none
    Column("model", String(256), nullable=False),
    Column("amount_nanos", BigInteger, nullable=False),
    Column("price_version", String(16), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("renewed", BigInteger, nullable=False),
    Column("state", String(10), nullable=False, server_default="open"),  # or unsettled: it lapsed
    Index("reservations_by_age", "state", "renewed"),
)

# What calls have cost. Rows are added and never changed.
LEDGER = Table(
    "ledger",
    METADATA,
    Column("call_id", String(32), primary_key=True),
    Column("request_id", String(128), nullable=False, index=True),
    Column("account_id", ForeignKey("accounts.id"), nullable=False),
    Column("key_id", String(80), nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("day", String(10), nullable=False),
    Column("outcome", String(40), nullable=False),  # OK, CANCELLED or the reason of the error
    Column("requested_model", String(256), nullable=False),
    Column("served_model", String(256), nullable=False),
    Column("provider", String(LONGEST_PROVIDER), nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("price_version", String(16)),  # null: the model had no price
    Column("reserved_nanos", BigInteger, nullable=False),
    Column("cost_nanos", BigInteger, nullable=False),  # what the account is charged
    Column("excess_nanos", BigInteger, nullable=False),  # beyond the reservation: ours to bear
    Column("provider_nanos", BigInteger),  # what we pay, at the targets' prices; null: unknown
    Index("ledger_by_account", "account_id", "day"),
)

# Counts the changes of keys and accounts, so that replicas can see cheaply that there was one.
CHANGES = Table(
    "changes",
    METADATA,
    Column("name", String(16), primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
