"""How waits are ended: by a deadline, a limit, a drain; and how cancellation stays cancellation."""

import asyncio

import pytest

from service.errors import DeadlineExceeded, FaultKind, ProviderFault, ServiceUnavailable
from service.providers.call import Call, Timer, Wait
from tests.unit.virtual_time import run


def test_a_wait_that_is_going_on_is_ended_by_the_error():
    async def main():
        wait = Wait()
        asyncio.get_running_loop().call_later(5, wait.end, DeadlineExceeded("late"))
        with pytest.raises(DeadlineExceeded), wait:
            await asyncio.Event().wait()
        assert asyncio.get_running_loop().time() == 5
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_an_end_between_waits_is_raised_by_the_next_wait_and_only_once():
    async def main():
        wait = Wait()
        wait.end(ServiceUnavailable("draining"))
        with pytest.raises(ServiceUnavailable), wait:
            raise AssertionError("the wait must not begin")
        with wait:
            await asyncio.sleep(1)

    run(main())


def test_what_ends_the_call_outranks_what_ends_an_attempt():
    async def main():
        wait = Wait()
        loop = asyncio.get_running_loop()
        loop.call_later(1, wait.end, DeadlineExceeded("late"))
        loop.call_later(1, wait.end, ProviderFault(FaultKind.SLOW, "slow"))
        with pytest.raises(DeadlineExceeded), wait:
            await asyncio.Event().wait()

    run(main())


def test_a_cancellation_from_outside_stays_a_cancellation():
    async def main():
        wait = Wait()

        async def waits():
            with wait:
                await asyncio.Event().wait()

        task = asyncio.create_task(waits())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main())


def test_a_cancellation_together_with_an_end_stays_a_cancellation():
    async def main():
        wait = Wait()

        async def waits():
            with wait:
                await asyncio.Event().wait()

        task = asyncio.create_task(waits())
        await asyncio.sleep(1)
        wait.end(DeadlineExceeded("late"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_timer_that_is_moved_fires_only_after_the_last_move():
    async def main():
        loop, wait = asyncio.get_running_loop(), Wait()
        timer = Timer(wait, ProviderFault(FaultKind.SLOW, "silent"))
        for _ in range(10):
            timer.start(30)
            with wait:
                await asyncio.sleep(20)
            timer.stop()
        timer.start(30)
        with pytest.raises(ProviderFault), wait:
            await asyncio.Event().wait()
        assert loop.time() == 10 * 20 + 30

    run(main())


def test_a_timer_can_be_moved_forward():
    async def main():
        loop, wait = asyncio.get_running_loop(), Wait()
        timer = Timer(wait, ProviderFault(FaultKind.SLOW, "silent"))
        timer.start(30)
        timer.start(2)
        with pytest.raises(ProviderFault), wait:
            await asyncio.Event().wait()
        assert loop.time() == 2

    run(main())


def test_a_stopped_timer_does_not_fire():
    async def main():
        wait = Wait()
        timer = Timer(wait, ProviderFault(FaultKind.SLOW, "silent"))
        timer.start(3)
        timer.stop()
        with wait:
            await asyncio.sleep(10)
        timer.close()

    run(main())


def test_the_callers_deadline_ends_the_call():
    async def main():
        call = Call("id", seconds=3)
        with pytest.raises(DeadlineExceeded), call.wait:
            await asyncio.Event().wait()
        assert asyncio.get_running_loop().time() == pytest.approx(2.95)  # the rest is for telling
        call.close()

    run(main())


def test_what_may_outlive_a_call_ends_at_the_same_deadline():
    async def main():
        call = Call("id", seconds=3)
        await asyncio.sleep(1)
        detached = call.detach()
        call.close()
        with pytest.raises(DeadlineExceeded), detached.wait:
            await asyncio.Event().wait()
        assert asyncio.get_running_loop().time() == pytest.approx(2.95)

    run(main())


def test_a_closed_call_has_no_deadline_any_more():
    async def main():
        call = Call("id", seconds=3)
        call.close()
        with call.wait:
            await asyncio.sleep(10)

    run(main())
