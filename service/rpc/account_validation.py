"""What requests about accounts and keys must be like. Pure; a fault names its field."""

from __future__ import annotations

import re
from datetime import date

from llmbase.v1 import account_pb2 as pb

from service.accounts.paging import MOST
from service.errors import InvalidRequest

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_CREDIT_ID = re.compile(r"[!-~]{0,64}")
_MODEL = re.compile(r"[!-~]{1,256}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GROUPS = frozenset(pb.UsageGroup.values()) - {pb.USAGE_GROUP_UNSPECIFIED}
_PERIODS = frozenset(pb.SpendPeriod.values()) - {pb.SPEND_PERIOD_UNSPECIFIED}

_MOST_NANOS = 10**18  # a billion dollars
_MOST_MODELS = 100
_LONGEST_NAME = 64
_LONGEST_NOTE = 256
_LAST_TIME = 253_402_300_799  # the year 9999
_LONGEST_OVERLAP = 365 * 24 * 3600  # seconds
_BOUNDS = ("requests_per_minute", "tokens_per_minute", "max_active")
_LEAST = "must be at least 1"
_ID_RULE = "must be letters, digits, `_`, `.` and `-`, at most 64; the first no `.` and no `-`"


def check_account(request: pb.CreateAccountRequest) -> None:
    """Raise InvalidRequest for the first field that breaks a rule."""
    _check_id("id", request.id, "is required: the account's id")
    _require(not request.HasField("max_active") or request.max_active >= 1, "max_active", _LEAST)


def check_credit(request: pb.CreditAccountRequest) -> None:
    """Raise InvalidRequest for the first field that breaks a rule."""
    _check_id("account", request.account)
    amount = request.amount_nanos
    rule = f"must be between -{_MOST_NANOS} and {_MOST_NANOS} nano-dollars, and not 0"
    _require(amount != 0 and -_MOST_NANOS <= amount <= _MOST_NANOS, "amount_nanos", rule)
    well = _CREDIT_ID.fullmatch(request.credit_id) is not None
    _require(well, "credit_id", "must be at most 64 visible ASCII characters")
    _check_text("note", request.note, 0, _LONGEST_NOTE)


def check_key(request: pb.CreateKeyRequest) -> None:
    """Raise InvalidRequest for the first field that breaks a rule."""
    _check_id("account", request.account)
    _check_text("name", request.name, 1, _LONGEST_NAME)
    _require(len(request.models) <= _MOST_MODELS, "models", f"must be at most {_MOST_MODELS}")
    for i, model in enumerate(request.models):
        well = _MODEL.fullmatch(model) is not None
        _require(well, f"models[{i}]", "must be 1 to 256 visible ASCII characters")
    if request.HasField("spend_cap"):
        _check_cap(request.spend_cap)
    for field in _BOUNDS:
        if request.HasField(field):  # type: ignore[arg-type]
            _require(getattr(request, field) >= 1, field, _LEAST)
    if request.HasField("expires"):
        rule = f"must be in Unix seconds, at most {_LAST_TIME}"
        _require(0 < request.expires <= _LAST_TIME, "expires", rule)


def check_key_id(key_id: str) -> None:
    """Raise InvalidRequest unless it can be the id of a key."""
    _check_id("id", key_id, "is required: the key's id")


def check_rotation(request: pb.RotateKeyRequest) -> None:
    """Raise InvalidRequest for the first field that breaks a rule."""
    check_key_id(request.id)
    rule = f"must be between 0 and {_LONGEST_OVERLAP} (a year)"
    _require(0 <= request.overlap_seconds <= _LONGEST_OVERLAP, "overlap_seconds", rule)


def check_usage(request: pb.ListUsageRequest) -> None:
    """Raise InvalidRequest for the first field that breaks a rule."""
    if request.account != "*":
        check_optional_account(request.account)
    for field in ("from_day", "to_day"):
        _require(_is_day(getattr(request, field)), field, "must be a day, YYYY-MM-DD")
    if request.from_day and request.to_day:
        _require(request.from_day <= request.to_day, "from_day", "must not be after to_day")
    groups = list(request.group_by)
    for i, group in enumerate(groups):
        _require(group in _GROUPS, f"group_by[{i}]", "must be one of day, model, key, account")
        _require(group not in groups[:i], f"group_by[{i}]", "must not be there twice")
    check_page_size(request.page_size)


def check_optional_account(account_id: str) -> None:
    """Raise InvalidRequest unless it is empty, or can be the id of an account."""
    if account_id:
        _check_id("account", account_id)


def check_page_size(size: int) -> None:
    """Raise InvalidRequest unless a page may have so many; 0 is our choice."""
    _require(0 <= size <= MOST, "page_size", f"must be between 1 and {MOST}")


def _check_cap(cap: pb.SpendCap) -> None:
    rule = f"must be between 0 and {_MOST_NANOS} nano-dollars"
    _require(0 <= cap.amount_nanos <= _MOST_NANOS, "spend_cap.amount_nanos", rule)
    _require(cap.period in _PERIODS, "spend_cap.period", "must be one of day, month, total")


def _check_id(field: str, value: str, missing: str = "is required: the id of an account") -> None:
    _require(bool(value), field, missing)
    _require(_ID.fullmatch(value) is not None, field, _ID_RULE)


def _check_text(field: str, text: str, least: int, most: int) -> None:
    rule = f"must be {f'{least} to' if least else 'at most'} {most} printable characters"
    _require(least <= len(text) <= most and text.isprintable(), field, rule)


def _is_day(text: str) -> bool:
    if not text:
        return True
    try:
        return _DAY.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _require(condition: bool, field: str, description: str) -> None:
    if not condition:
        raise InvalidRequest(field, description)
