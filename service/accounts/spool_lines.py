"""A settlement or a release as one line of the spool, and back. Pure."""

from __future__ import annotations

from typing import Any

import orjson
from llmbase.v1.chat_completion_pb2 import Usage

from service.accounts.caller import SpendCap
from service.accounts.records import Reservation, Settlement
from service.money import Nanos

Entry = Settlement | Reservation  # a reservation: it is released

_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "estimated",
)


def encode(entry: Entry) -> bytes:
    """Return the line, its end included."""
    if isinstance(entry, Reservation):
        line: dict[str, Any] = {"release": _reservation(entry)}
    else:
        line = {"settle": _settlement(entry)}
    return orjson.dumps(line) + b"\n"


def decode(line: bytes) -> Entry:
    """Return what a line says. Raises ValueError for one that was not written whole."""
    try:
        read = orjson.loads(line)
        if "release" in read:
            return _to_reservation(read["release"])
        return _to_settlement(read["settle"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a line of the spool") from error


def _reservation(it: Reservation) -> dict[str, Any]:
    fields: dict[str, Any] = it._asdict()
    fields["cap"] = [it.cap.amount, it.cap.period] if it.cap is not None else None
    return fields


def _to_reservation(fields: dict[str, Any]) -> Reservation:
    cap = fields.pop("cap")
    return Reservation(cap=SpendCap(Nanos(cap[0]), cap[1]) if cap is not None else None, **fields)


def _settlement(it: Settlement) -> dict[str, Any]:
    fields: dict[str, Any] = it._asdict()
    fields["usage"] = {name: getattr(it.usage, name) for name in _COUNTS}
    held = it.reservation
    fields["reservation"] = _reservation(held) if held is not None else None
    return fields


def _to_settlement(fields: dict[str, Any]) -> Settlement:
    usage, held = Usage(**fields.pop("usage")), fields.pop("reservation")
    return Settlement(
        usage=usage, reservation=_to_reservation(held) if held is not None else None, **fields
    )
