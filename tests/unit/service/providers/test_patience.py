"""How long a stream is waited for, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault
from service.providers.call import Wait
from service.providers.patience import Patience
from tests.unit.virtual_time import run


class _Stream:
    """A stream that is read: waits for so many seconds, and gets so many characters."""

    def __init__(self, **timeouts):
        self.wait = Wait()
        self.patience = Patience(self.wait, TimeoutsConfig(**timeouts))
        self.characters = 0

    async def read(self, seconds, characters=0, last=None):
        if last is None:
            self.patience.begin(self.characters)
        else:
            self.patience.begin_last(last)
        try:
            with self.wait:
                await asyncio.sleep(seconds)
        finally:
            self.patience.end()
        self.characters += characters


def now():
    return asyncio.get_running_loop().time()


def reads(stream, *given, every=0.0):
    """Read so, and return when the fault came and what it says."""

    async def main():
        made = stream()
        with pytest.raises(ProviderFault) as caught:
            for seconds, characters in given:
                await made.read(seconds, characters)
                await asyncio.sleep(every)
        made.patience.close()
        assert caught.value.kind is FaultKind.SLOW
        return now(), caught.value.detail

    return run(main())


def survives(stream, *given, every=0.0):
    async def main():
        made = stream()
        for seconds, characters in given:
            await made.read(seconds, characters)
            await asyncio.sleep(every)
        made.patience.close()

    run(main())


def test_silence_ends_the_wait_and_anything_that_comes_begins_it_anew():
    assert reads(lambda: _Stream(idle=3), (2, 0), (2, 0), (5, 9)) == (7, "silent for 3 s")


def test_a_stream_that_drips_is_ended_after_ten_seconds_of_waiting():
    drips = [(1, 1)] * 60
    at, why = reads(lambda: _Stream(idle=3, min_rate=2), *drips)
    assert (at, why) == (10, "less than 2 characters a second for 10 s")


def test_a_stream_that_keeps_the_rate_goes_on():
    survives(lambda: _Stream(idle=3, min_rate=2), *[(1, 3)] * 60)
    survives(lambda: _Stream(idle=9, min_rate=2), *[(8, 21)] * 60)


def test_a_stream_that_was_fast_and_then_drips_is_ended_ten_seconds_later():
    at, _ = reads(lambda: _Stream(idle=3, min_rate=2), *[(1, 100)] * 20, *[(1, 0)] * 60)
    assert at == 30


def test_a_reader_that_is_slow_is_not_held_against_the_provider():
    survives(lambda: _Stream(idle=3, min_rate=2), *[(0.4, 1)] * 60, every=100.0)
    at, _ = reads(lambda: _Stream(idle=3, min_rate=2), *[(1, 1)] * 60, every=100.0)
    assert at == 10 + 9 * 100


def test_without_a_rate_pings_keep_a_stream_alive():
    survives(lambda: _Stream(idle=3), *[(2, 0)] * 300)


def test_the_end_alone_is_waited_for_as_long_as_is_said_whatever_the_rate():
    async def main():
        made = _Stream(idle=30, min_rate=1000)
        await made.read(1, 5)
        with pytest.raises(ProviderFault, match="silent"):
            await made.read(60, last=2.0)
        assert now() == 3
        made.patience.close()

    run(main())
