"""What values in a configuration can be: durations, prices, addresses, names."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")

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
    text = format(price, "f")
    if len(text.partition(".")[2]) > 18 or price >= 10**6:
        raise ValueError("must have at most 18 decimals, and be less than a million")
    return text


def _with_a_port(address: str) -> str:
    port = address.rpartition(":")[2]
    if not address.startswith("unix:") and int(port) > 65_535:
        raise ValueError("must have a port of at most 65535")
    return address


def listed(value: object) -> object:
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
Address = Annotated[
    str, StringConstraints(pattern=r"^(unix:.+|.*:\d{1,5})$"), AfterValidator(_with_a_port)
]
TcpAddress = Annotated[
    str,
    StringConstraints(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):\d{1,5}$"),
    AfterValidator(_with_a_port),
]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
# Printable ASCII without comma, as ids travel in headers; `*` may only stand at the end.
ModelId = Annotated[str, StringConstraints(max_length=256, pattern=r"^[!-)+\--~]+\*?$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


class Frozen(BaseModel):
    """A part of the configuration; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
