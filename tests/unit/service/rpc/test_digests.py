"""Keys are known again by digests, and nothing else of them is kept."""

from __future__ import annotations

import gc
import hashlib

import pytest

from service.errors import InvalidApiKey
from service.rpc import digests
from service.rpc.digests import Digests

KEY = "a-key-set-by-hand-1"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


def test_a_key_has_its_digest_however_often_and_in_whatever_letters_it_comes() -> None:
    known = Digests()
    headers = [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer  {KEY} "] * 2
    assert [known.of(header) for header in headers] == [DIGEST] * 6


def test_another_key_has_another_digest() -> None:
    known = Digests()
    assert len({known.of(f"Bearer {KEY}{i}") for i in range(100)}) == 100


@pytest.mark.parametrize(
    "header",
    [KEY, f"Basic {KEY}", "Bearer", "Bearer short", f"Bearer {KEY}\x01", f"Bearer {KEY}\ud800"],
)
def test_what_is_no_key_is_none_the_second_time_either(header: str) -> None:
    known = Digests()
    for _ in range(2):
        with pytest.raises(InvalidApiKey):
            known.of(header)


def test_no_key_is_kept() -> None:
    known = Digests()
    known.of(f"Bearer {KEY}")
    kept: list[object] = [known]
    for it in kept:  # which grows
        kept += [found for found in gc.get_referents(it) if isinstance(found, dict | str | bytes)]
    assert DIGEST in kept
    texts = [
        it.encode() if isinstance(it, str) else it for it in kept if isinstance(it, str | bytes)
    ]
    assert not any(KEY.encode() in text for text in texts)


def test_keys_that_are_made_up_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_REMEMBERED", 10)
    known = Digests()
    for i in range(100):
        known.of(f"Bearer {KEY}{i}")
        assert known.of(f"Bearer {KEY}") == DIGEST
        assert len(known._known) <= 10
