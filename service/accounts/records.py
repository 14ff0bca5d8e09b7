"""What the books are made of: money that a call holds, and what it cost in the end. Pure."""

from __future__ import annotations

from typing import NamedTuple

from llmbase.v1.chat_completion_pb2 import Usage

from service.accounts.caller import SpendCap
from service.money import Nanos


class Reservation(NamedTuple):
    """What a call may cost at most. `cap` is the key's; `created` is in Unix seconds (UTC)."""

    call_id: str
    request_id: str
    account_id: str
    key_id: str
    prepaid: bool
    cap: SpendCap | None
    model: str
    amount: Nanos
    price_version: str
    created: int


class Settlement(NamedTuple):
    """What a call cost: one row of the ledger. `reservation` is None where no money was held."""

    call_id: str
    request_id: str
    account_id: str
    key_id: str
    ended: int
    outcome: str
    requested_model: str
    served_model: str
    provider: str
    usage: Usage
    price_version: str | None
    cost: Nanos
    excess: Nanos
    provider_cost: Nanos | None
    reservation: Reservation | None
