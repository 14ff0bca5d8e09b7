"""From what the configuration says of a static key, or an identity, to a caller. Pure."""

from __future__ import annotations

from service.accounts.caller import OPERATOR, Caller, Limits, SpendCap, allowing
from service.config import AccessConfig, AccountsConfig
from service.money import from_dollars


def caller_of(key_id: str, access: AccessConfig, accounts: AccountsConfig) -> Caller:
    """Return the holder of a static key, or of an identity. Who pays for nothing is not bounded."""
    pays = access.account not in (None, OPERATOR)
    cap = access.spend_cap
    return Caller(
        access.name,
        key_id,
        allowing(access.models),
        access.account or OPERATOR,
        prepaid=pays,
        admin=access.admin,
        limits=Limits(
            accounts.max_active if pays else None,
            access.max_active,
            access.requests_per_minute,
            access.tokens_per_minute,
        ),
        cap=SpendCap(from_dollars(cap.usd), cap.period) if cap is not None else None,
    )
