"""What is remembered of keys, in virtual time: how long, for whom, and what an outage changes."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

import pytest

from service.accounts.cache import Cache
from service.accounts.freshness import Freshness
from service.errors import ServiceUnavailable
from service.store.database import StoreDown
from tests.unit.virtual_time import run

AGE = 2.0


class _Store:
    """What a store has, how often it was read, and how it behaves now."""

    def __init__(self, **values: str) -> None:
        self.values, self.revision = dict(values), 1
        self.reads: list[str] = []
        self.seconds = 0.01
        self.down = False

    def change(self, name: str, value: str | None) -> None:
        self.revision += 1
        self.values.pop(name, None)
        if value is not None:
            self.values[name] = value

    async def read(self, name: str) -> tuple[int, str | None]:
        self.reads.append(name)
        revision, value = self.revision, self.values.get(name)
        await asyncio.sleep(self.seconds)
        if self.down:
            raise StoreDown("gone")
        return revision, value


class _Known:
    """A cache before a store."""

    def __init__(self, store: _Store, most: int = 100) -> None:
        clock = asyncio.get_running_loop().time
        self.freshness = Freshness(AGE, clock)
        self.cache = Cache(store.read, self.freshness, clock, most)

    async def get(self, name: str) -> str | None:
        return await self.cache.get(name)


def test_many_who_ask_at_once_are_one_reading():
    async def main() -> None:
        store = _Store(a="1")
        known = _Known(store)
        assert await asyncio.gather(*(known.get("a") for _ in range(50))) == ["1"] * 50
        assert store.reads == ["a"]

    run(main())


def test_the_reading_goes_on_when_the_first_who_asked_leaves():
    async def main() -> None:
        store = _Store(a="1")
        known = _Known(store)
        first, second = (asyncio.create_task(known.get("a")) for _ in range(2))
        await asyncio.sleep(0.005)
        first.cancel()
        assert await second == "1"
        assert store.reads == ["a"]

    run(main())


@pytest.mark.parametrize("name", ["a", "nobody"])
def test_what_was_found_or_not_is_read_again_when_it_is_too_old(name):
    async def main() -> None:
        store = _Store(a="1")
        known = _Known(store)
        for _ in range(2):
            await known.get(name)
        await asyncio.sleep(AGE - 0.02)
        await known.get(name)
        assert store.reads == [name]
        await asyncio.sleep(0.05)
        await known.get(name)
        assert store.reads == [name] * 2

    run(main())


def test_one_reading_says_for_all_the_others_that_they_hold():
    async def main() -> None:
        store = _Store(a="1", b="2")
        known = _Known(store)
        await known.get("a")
        for i in range(10):
            await asyncio.sleep(AGE / 2)
            await known.get(f"stranger {i}")
        await known.get("a")
        assert store.reads.count("a") == 1

    run(main())


def test_one_reading_says_for_all_the_others_that_something_changed():
    async def main() -> None:
        store = _Store(a="1", b="2")
        known = _Known(store)
        assert await known.get("a") == "1"
        store.change("a", None)
        assert await known.get("a") == "1"
        await known.get("b")
        assert await known.get("a") is None

    run(main())


def test_a_change_of_our_own_is_felt_at_once_even_by_who_waits_already():
    async def main() -> None:
        store = _Store(a="1")
        known = _Known(store)
        waiting = asyncio.create_task(known.get("a"))
        await asyncio.sleep(0.005)  # the reading has begun
        store.change("a", None)
        known.freshness.changed(store.revision)
        assert await known.get("a") is None
        assert await waiting is None

    run(main())


def test_a_reading_that_was_overtaken_does_not_bring_old_things_back():
    async def main() -> None:
        store = _Store(a="1", b="2")
        known = _Known(store)
        await known.get("a")
        store.seconds = 0.5
        slow = asyncio.create_task(known.get("b"))
        await asyncio.sleep(0.1)
        store.change("a", None)
        known.freshness.changed(store.revision)
        store.seconds = 0.01
        assert await known.get("a") is None
        await slow
        assert await known.get("a") is None

    run(main())


def test_while_the_store_is_away_who_is_known_goes_on_and_nobody_else():
    async def main() -> None:
        store = _Store(a="1")
        known = _Known(store)
        await known.get("a")
        assert await known.get("nobody") is None
        store.down = True
        await asyncio.sleep(60)
        assert await known.get("a") == "1"
        for name in ("nobody", "never seen"):
            with pytest.raises(ServiceUnavailable) as raised:
                await known.get(name)
            assert raised.value.retry_after == 1.0
        store.down = False
        await asyncio.sleep(AGE)
        assert await known.get("never seen") is None

    run(main())


def test_a_store_that_is_away_is_asked_now_and_then_and_nobody_waits_for_it():
    async def main() -> None:
        store = _Store(a="1")
        known = _Known(store)
        await known.get("a")
        store.seconds, store.down = 100.0, True  # it does not even say no
        await asyncio.sleep(60)
        clock = asyncio.get_running_loop().time
        began, slowest = clock(), 0.0
        while clock() < began + 60:
            before = clock()
            assert await known.get("a") == "1"
            slowest = max(slowest, clock() - before)
            await asyncio.sleep(0.1)
        assert slowest <= 1.0
        assert 20 <= len(store.reads) <= 60

    run(main())


def test_nobody_waits_for_a_driver_that_does_not_let_go() -> None:
    async def main() -> None:
        known = _Known(_Store(a="v"))

        async def stubborn(name: str) -> tuple[int, str | None]:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(100)
            raise AssertionError

        clock = asyncio.get_running_loop().time
        cache = Cache(stubborn, known.freshness, clock, 100)
        with pytest.raises(ServiceUnavailable):
            await cache.get("a")
        assert clock() == 2

    run(main())


def test_a_key_that_was_revoked_while_the_store_was_away_is_refused_once_it_is_back():
    async def main() -> None:
        store = _Store(a="1")
        known = _Known(store)
        await known.get("a")
        store.down = True
        await asyncio.sleep(10)
        assert await known.get("a") == "1"
        store.change("a", None)
        store.down = False
        await asyncio.sleep(AGE / 2)
        assert await known.get("a") is None

    run(main())


def test_it_is_bounded_and_who_tries_at_random_pushes_nobody_out():
    async def main() -> None:
        store = _Store(a="1", b="2", c="3")
        known = _Known(store, most=2)
        for name in ("a", "b"):
            await known.get(name)
        for i in range(50):
            await known.get(f"wrong {i}")
        await known.get("a")
        assert store.reads.count("a") == 1
        await known.get("c")  # one too many: the one that was read first goes
        await known.get("b")
        await known.get("a")
        assert (store.reads.count("a"), store.reads.count("b")) == (2, 1)

    run(main())


def test_who_tries_at_random_does_not_hold_up_who_is_known():
    async def main() -> None:
        store = _Store(a="1")
        known = _Known(store)
        await known.get("a")
        await asyncio.sleep(AGE + 1)
        store.seconds = 0.5
        strangers = [asyncio.create_task(known.get(f"wrong {i}")) for i in range(100)]
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        assert await known.get("a") == "1"
        assert asyncio.get_running_loop().time() - began <= 0.5
        await asyncio.gather(*strangers, return_exceptions=True)

    run(main())


def test_a_store_that_was_set_back_is_believed():
    async def main() -> None:
        store = _Store(a="1")
        store.revision = 10
        known = _Known(store)
        await known.get("a")
        store.change("a", "older")
        store.revision = 3
        await asyncio.sleep(AGE + 1)
        assert await known.get("a") == "older"

    run(main())


class _Past:
    """What was there under each name, and when: what a late answer may still say."""

    def __init__(self, store: _Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._changes: dict[str, list[tuple[float, str | None]]] = {}

    def change(self, name: str, value: str | None) -> None:
        self._store.change(name, value)
        self._changes.setdefault(name, [(0.0, None)]).append((self._clock(), value))

    def may_be(self, name: str, since: float) -> set[str | None]:
        """What was true at some moment from `since` on."""
        changes = self._changes.get(name, [(0.0, None)])
        ends = [*(time for time, _ in changes[1:]), math.inf]
        return {value for (_, value), end in zip(changes, ends, strict=True) if end >= since}


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_no_answer_is_older_than_promised(seed: int) -> None:
    async def main() -> None:
        chance, clock = random.Random(seed), asyncio.get_running_loop().time
        store = _Store()
        known = _Known(store, most=3)
        past = _Past(store, clock)

        async def others() -> None:
            for i in range(300):
                await asyncio.sleep(chance.expovariate(2))
                past.change(chance.choice("abcde"), chance.choice([None, f"value {i}"]))
                store.seconds = chance.choice([0.001, 0.01, 0.3, 0.9])
                if chance.random() < 0.3:  # our own: told at once
                    known.freshness.changed(store.revision)

        async def asks() -> None:
            for _ in range(300):
                await asyncio.sleep(chance.expovariate(2))
                name, began = chance.choice("abcde"), clock()
                value = await known.get(name)
                # As old as what is remembered may be, or as long as the question took.
                oldest = min(began, clock() - AGE) - store.seconds
                assert value in past.may_be(name, oldest), (name, value)

        await asyncio.gather(others(), *(asks() for _ in range(4)))

    run(main())
