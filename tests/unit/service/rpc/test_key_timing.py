"""How long a wrong key takes to be refused says nothing about the right one."""

from __future__ import annotations

import hashlib
import time

import pytest

from service.config import KeyConfig
from service.errors import InvalidApiKey
from service.rpc.authentication import Authenticator

KEY = "llmbase_" + "kQ7xV2mB9tR4wZ6pL1sD8fG3hJ5nC0yA" * 2
SHARED = (0, 8, 24, 48, len(KEY) - 1)  # characters that a wrong key has in common with the right
KEYS_EACH = 400
LEAST, MOST = 3, 40  # rounds
ALIKE = 1.1  # a comparison that stops at the first difference would be far beyond it


def _wrong(shared: int, number: int) -> str:
    """A key of the right length that is right up to `shared` characters, and wrong there."""
    other = "-" if KEY[shared] != "-" else "_"
    tail = hashlib.sha512(f"{shared}:{number}".encode()).hexdigest() * 2
    return (KEY[:shared] + other + tail)[: len(KEY)]


async def _seconds(authenticator: Authenticator, keys: list[str]) -> float:
    began = time.perf_counter()
    for key in keys:
        with pytest.raises(InvalidApiKey):
            await authenticator.caller(f"Bearer {key}")
    return time.perf_counter() - began


async def test_a_wrong_key_takes_as_long_however_much_of_it_is_right() -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    authenticator = Authenticator([KeyConfig(name="demo", sha256=digest)])
    keys = {shared: [_wrong(shared, i) for i in range(KEYS_EACH)] for shared in SHARED}
    best = dict.fromkeys(SHARED, float("inf"))
    for round_ in range(1, MOST + 1):  # in turn, and the best of each: the machine may be busy
        for shared, wrong in keys.items():
            best[shared] = min(best[shared], await _seconds(authenticator, wrong))
        if round_ >= LEAST and max(best.values()) < ALIKE * min(best.values()):
            break
    assert max(best.values()) < ALIKE * min(best.values()), best
