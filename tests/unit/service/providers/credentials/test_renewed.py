"""Tokens and keys are fetched once for all who wait, and again before they end, unnoticed."""

import asyncio
import gc
import logging

import pytest

from service.errors import FaultKind, ProviderFault
from service.providers.credentials.renewed import Renewed
from tests.unit.virtual_time import run

HOUR = 3600.0


class Source:
    """Fetches values that last `life` seconds, in `takes` seconds, or fails."""

    def __init__(self, life=HOUR, takes=1.0):
        self.life, self.takes = life, takes
        self.fetches = 0
        self.failure = None
        self.renewed = Renewed("acme", self.fetch, lambda value, s: value[1] - now() <= s)

    async def fetch(self):
        self.fetches += 1
        number = self.fetches
        await asyncio.sleep(self.takes)
        if self.failure is not None:
            raise self.failure
        return number, now() + self.life

    async def get(self):
        """The number of the value that is got, and the seconds that it took."""
        began = now()
        number, _ = await self.renewed.get()
        return number, now() - began


def now():
    return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def nothing_is_lost(caplog):
    """No exception of a task may be left that nobody asked for."""
    yield
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_nothing_is_fetched_before_it_is_needed():
    async def main():
        source = Source()
        await asyncio.sleep(2 * HOUR)
        await source.renewed.close()
        assert source.fetches == 0

    run(main())


def test_the_first_waits_for_the_fetch_and_the_others_do_not():
    async def main():
        source = Source()
        assert await source.get() == (1, 1.0)
        assert await source.get() == (1, 0.0)

    run(main())


def test_all_who_come_at_once_wait_for_the_same_fetch():
    async def main():
        source = Source()
        assert await asyncio.gather(*(source.get() for _ in range(50))) == [(1, 1.0)] * 50
        assert source.fetches == 1

    run(main())


def test_who_leaves_does_not_end_the_fetch_for_the_others():
    async def main():
        source = Source(takes=10)
        waiting = [asyncio.create_task(source.get()) for _ in range(3)]
        await asyncio.sleep(5)
        waiting[0].cancel()  # the one that began it
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        assert await waiting[1] == (1, 10.0)
        assert await waiting[2] == (1, 10.0)
        assert source.fetches == 1

    run(main())


def test_a_fetch_that_fails_after_everybody_left_is_forgotten_in_silence():
    async def main():
        source = Source(takes=10)
        source.failure = RuntimeError("nobody is there")
        waiting = asyncio.create_task(source.get())
        await asyncio.sleep(5)
        waiting.cancel()
        await asyncio.sleep(10)
        source.failure = None
        assert await source.get() == (2, 10.0)

    run(main())


def test_it_is_fetched_again_before_it_ends_and_no_request_ever_waits():
    async def main():
        source = Source(takes=20)
        await source.get()
        numbers = set()
        for _ in range(10 * 60):  # ten hours, a request each minute
            await asyncio.sleep(60)
            number, seconds = await source.get()
            assert seconds == 0
            numbers.add(number)
        assert 10 <= len(numbers) <= 12

    run(main())


def test_it_is_fetched_again_though_no_request_comes():
    async def main():
        source = Source()
        await source.get()
        await asyncio.sleep(10 * HOUR)
        assert (await source.get())[1] == 0

    run(main())


def test_it_is_looked_at_every_half_minute_and_fetched_five_minutes_before_its_end():
    async def main():
        source = Source(life=HOUR + 10, takes=0.0)
        await source.get()
        await asyncio.sleep(HOUR - 271)  # 281 are left; a look ago there were more than 300
        assert source.fetches == 1
        await asyncio.sleep(2)
        assert source.fetches == 2
        await source.renewed.close()

    run(main())


def test_it_is_not_fetched_again_as_long_as_there_is_time():
    async def main():
        source = Source()
        await source.get()
        await asyncio.sleep(HOUR - 331)
        assert source.fetches == 1

    run(main())


def test_a_failure_keeps_what_there_is_until_it_ends_and_is_logged_without_its_text(caplog):
    async def main():
        source = Source()
        await source.get()
        source.failure = RuntimeError("the secret is s3cret")
        await asyncio.sleep(HOUR - 1.5)
        assert await source.get() == (1, 0.0)
        assert 5 <= source.fetches <= 11  # tried again, but not all the time
        await asyncio.sleep(1.5)
        with pytest.raises(ProviderFault):
            await source.get()
        source.failure = None
        await asyncio.sleep(2)
        assert (await source.get())[0] > 1

    with caplog.at_level(logging.WARNING):
        run(main())
    assert 5 <= len(caplog.records) <= 11
    for record in caplog.records:
        assert (record.provider, record.detail) == ("acme", "RuntimeError")
        assert "s3cret" not in str(vars(record))


def test_it_recovers_in_the_background_before_the_end():
    async def main():
        source = Source()
        await source.get()
        source.failure = RuntimeError()
        await asyncio.sleep(HOUR - 200)
        source.failure = None
        await asyncio.sleep(100)
        number, seconds = await source.get()
        assert (number > 1, seconds) == (True, 0)

    run(main())


def test_when_it_has_ended_and_cannot_be_had_nothing_goes_on_in_the_background():
    async def main():
        source = Source()
        await source.get()
        source.failure = RuntimeError()
        await asyncio.sleep(2 * HOUR)
        tried = source.fetches
        await asyncio.sleep(10 * HOUR)
        assert source.fetches == tried
        assert asyncio.all_tasks() == {asyncio.current_task()}
        source.failure = None
        assert (await source.get())[1] == 1.0
        await asyncio.sleep(HOUR)
        assert (await source.get())[1] == 0.0  # watched over again

    run(main())


def test_a_failure_is_a_fault_to_connect_that_tells_its_type_only():
    async def main():
        source = Source()
        source.failure = PermissionError("the secret is s3cret")
        with pytest.raises(ProviderFault) as fault:
            await source.get()
        assert fault.value.kind is FaultKind.CONNECT
        assert fault.value.detail == "no credentials: PermissionError"
        assert fault.value.__cause__ is None
        assert fault.value.__context__ is None  # nothing for a log to print the text of

    run(main())


def test_each_of_those_who_wait_gets_a_fault_of_its_own():
    async def main():
        source = Source()
        source.failure = RuntimeError()
        waiting = (source.get() for _ in range(5))
        faults = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(fault, ProviderFault) for fault in faults)
        assert len({id(fault) for fault in faults}) == 5
        assert source.fetches == 1

    run(main())


def test_a_fetch_that_just_failed_is_not_tried_again_at_once():
    async def main():
        source = Source(takes=0)
        source.failure = RuntimeError()
        for _ in range(100):
            with pytest.raises(ProviderFault, match="RuntimeError"):
                await source.get()
        assert source.fetches == 1
        await asyncio.sleep(1)
        source.failure = None
        assert (await source.get())[0] == 2

    run(main())


def test_a_value_that_had_ended_when_it_came_is_a_fault():
    async def main():
        source = Source(life=-1)
        with pytest.raises(ProviderFault, match="they had ended when they came"):
            await source.get()

    run(main())


def test_a_fetch_that_hangs_is_given_up():
    async def main():
        source = Source(takes=10 * HOUR)
        began = now()
        with pytest.raises(ProviderFault, match="TimeoutError"):
            await source.get()
        assert now() - began == 60

    run(main())


def test_a_value_shorter_lived_than_the_margin_is_renewed_too(caplog):
    async def main():
        source = Source(life=90)
        await source.get()
        for _ in range(100):
            await asyncio.sleep(45)
            assert (await source.get())[1] == 0

    run(main())
    assert not caplog.records


def test_a_clock_that_jumps_past_the_end_means_one_wait():
    """A machine that slept: its timers did not, by their own account."""

    async def main():
        skew = 0.0
        source = Source()
        source.renewed = Renewed(
            "acme", source.fetch, lambda value, s: value[1] - now() - skew <= s
        )
        await source.get()
        skew = -10 * HOUR
        assert (await source.get()) == (1, 0.0)
        skew = 2 * HOUR
        source.life += skew
        assert (await source.get()) == (2, 1.0)

    run(main())


def test_closing_ends_a_fetch_and_who_waits_for_it_is_told():
    async def main():
        source = Source(takes=30)
        waiting = asyncio.create_task(source.get())
        await asyncio.sleep(1)
        await source.renewed.close()
        with pytest.raises(ProviderFault, match="not fetched"):
            await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_closing_ends_what_goes_on_in_the_background():
    async def main():
        source = Source(takes=20)
        await source.get()
        await asyncio.sleep(HOUR - 290)
        assert source.fetches == 2
        assert len(asyncio.all_tasks()) == 3
        await source.renewed.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_a_cancellation_of_close_stays_one():
    async def main():
        source = Source()

        async def stubborn():
            try:
                await asyncio.sleep(HOUR)
            except asyncio.CancelledError:
                await asyncio.sleep(HOUR)
                raise

        source.renewed = Renewed("acme", stubborn, lambda *_: True)
        waiting = asyncio.create_task(source.renewed.get())
        await asyncio.sleep(1)
        closing = asyncio.create_task(source.renewed.close())
        await asyncio.sleep(1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ProviderFault):
            await waiting

    run(main())
