"""Accounts, keys, price tables, reservations and the ledger, as they were first."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

from service.store.migrations.append_only import append_only

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, and the account that pays for what no other account does."""
    _create_accounts()
    _create_keys()
    _create_reservations()
    _create_ledger()
    append_only("ledger")
    changes = op.create_table(
        "changes",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(changes, [{"name": "accounts", "revision": 1}])


def _create_accounts() -> None:
    accounts = op.create_table(
        "accounts",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("prepaid", sa.Boolean, nullable=False),
        sa.Column("balance_nanos", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("reserved_nanos", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("max_active", sa.Integer),
    )
    operator = {"id": "operator", "created": int(time.time()), "prepaid": False}
    op.bulk_insert(accounts, [operator])
    op.create_table(
        "credits",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("account_id", sa.String(64), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("ix_credits_account_id", "credits", ["account_id"])


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("account_id", sa.String(64), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("models", sa.Text, nullable=False),
        sa.Column("cap_nanos", sa.BigInteger),
        sa.Column("cap_period", sa.String(8)),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("tokens_per_minute", sa.Integer),
        sa.Column("max_active", sa.Integer),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.Column("revoked", sa.BigInteger),
        sa.Column("admin", sa.Boolean, nullable=False, server_default="0"),
    )
    op.create_index("ix_keys_account_id", "keys", ["account_id"])
    op.create_table(
        "key_spend",
        sa.Column("key_id", sa.String(80), primary_key=True),
        sa.Column("period", sa.String(10), primary_key=True),
        sa.Column("spent_nanos", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("reserved_nanos", sa.BigInteger, nullable=False, server_default="0"),
    )


def _create_reservations() -> None:
    op.create_table(
        "price_tables",
        sa.Column("version", sa.String(16), primary_key=True),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("prices", sa.Text, nullable=False),
    )
    op.create_table(
        "reservations",
        sa.Column("call_id", sa.String(32), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("account_id", sa.String(64), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("key_id", sa.String(80), nullable=False),
        sa.Column("prepaid", sa.Boolean, nullable=False),
        sa.Column("period", sa.String(10)),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger, nullable=False),
        sa.Column("price_version", sa.String(16), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("renewed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(10), nullable=False, server_default="open"),
    )
    op.create_index("ix_reservations_request_id", "reservations", ["request_id"])
    op.create_index("reservations_by_age", "reservations", ["state", "renewed"])


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("call_id", sa.String(32), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("account_id", sa.String(64), sa.ForeignKey("accounts.id"), nullable=False),
        sa.Column("key_id", sa.String(80), nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        sa.Column("requested_model", sa.String(256), nullable=False),
        sa.Column("served_model", sa.String(256), nullable=False),
        sa.Column("provider", sa.String(130), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("price_version", sa.String(16)),
        sa.Column("reserved_nanos", sa.BigInteger, nullable=False),
        sa.Column("cost_nanos", sa.BigInteger, nullable=False),
        sa.Column("excess_nanos", sa.BigInteger, nullable=False),
        sa.Column("provider_nanos", sa.BigInteger),
    )
    op.create_index("ix_ledger_request_id", "ledger", ["request_id"])
    op.create_index("ledger_by_account", "ledger", ["account_id", "day"])
