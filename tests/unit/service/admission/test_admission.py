"""Who gets a place, who waits for one, and who is told at once that waiting would be in vain."""

import asyncio

import pytest

from service.admission.admission import Admission
from service.admission.priority import Priority, from_text
from service.errors import DeadlineExceeded, InvalidRequest, ServiceUnavailable
from service.providers.call import Call
from tests.unit.virtual_time import run

INTERACTIVE, BATCH = Priority


class _Busy:
    """An admission in virtual time, and the calls that go through it, in the order they got in."""

    def __init__(self, max_in_flight, max_queued):
        self.loop = asyncio.get_running_loop()
        self.admission = Admission(max_in_flight, max_queued, self.loop.time)
        self.served = []

    async def call(self, name, *, holds=10.0, priority=INTERACTIVE, deadline=None):
        """Get in, hold the place for a time, leave."""
        call = Call("id", seconds=deadline)
        try:
            entered = await self.admission.enter(priority, call.wait, deadline)
            try:
                self.served.append((name, self.loop.time()))
                await asyncio.sleep(holds)
            finally:
                self.admission.leave(entered)
        finally:
            call.close()

    def start(self, name, **settings):
        return asyncio.create_task(self.call(name, **settings))

    async def settle(self):
        """Let every task run until it waits."""
        for _ in range(5):
            await asyncio.sleep(0)

    def check_idle(self):
        assert (self.admission.in_flight, self.admission.queued) == (0, 0)


def test_calls_below_the_bound_get_in_without_waiting():
    async def main():
        busy = _Busy(3, 0)
        await asyncio.gather(*(busy.call(i) for i in range(3)))
        assert busy.served == [(0, 0), (1, 0), (2, 0)]
        busy.check_idle()

    run(main())


def test_a_free_place_is_taken_without_a_turn_of_the_loop():
    async def main():
        admission = Admission(1, 0, lambda: 7.0)
        entering = admission.enter(INTERACTIVE, Call("id").wait, None)
        with pytest.raises(StopIteration) as entered:
            entering.send(None)
        assert entered.value.value == 7.0

    run(main())


def test_never_more_calls_than_the_bound_are_in_and_who_came_first_gets_in_first():
    async def main():
        busy = _Busy(2, 10)
        await asyncio.gather(*(busy.call(i) for i in range(6)))
        assert busy.served == [(0, 0), (1, 0), (2, 10), (3, 10), (4, 20), (5, 20)]
        busy.check_idle()

    run(main())


def test_who_has_just_come_does_not_overtake_who_waits():
    async def main():
        busy = _Busy(1, 10)
        first, waits = busy.start("first", holds=10), busy.start("waits")
        await busy.settle()
        first.cancel()
        await busy.settle()
        late = busy.start("late")
        await asyncio.gather(waits, late)
        assert [name for name, _ in busy.served] == ["first", "waits", "late"]

    run(main())


def test_a_full_queue_sends_the_next_call_away_at_once():
    async def main():
        busy = _Busy(1, 2)
        tasks = [busy.start(i) for i in range(3)]
        await busy.settle()
        with pytest.raises(ServiceUnavailable) as refused:
            await busy.call("too many")
        assert busy.loop.time() == 0
        assert refused.value.retry_after == 1  # nothing is known yet of how long calls take
        await asyncio.gather(*tasks)
        busy.check_idle()

    run(main())


def test_without_a_queue_nobody_waits():
    async def main():
        busy = _Busy(1, 0)
        task = busy.start("in")
        await busy.settle()
        with pytest.raises(ServiceUnavailable):
            await busy.call("refused")
        await task

    run(main())


@pytest.mark.parametrize(("holds", "told"), [(0.001, 1), (8, 6), (600, 30)])
def test_who_is_sent_away_is_told_when_a_place_is_to_be_expected_within_bounds(holds, told):
    async def main():
        busy = _Busy(4, 2)
        await busy.call("teaches how long calls take", holds=holds)
        tasks = [busy.start(i, holds=holds) for i in range(6)]
        await busy.settle()
        with pytest.raises(ServiceUnavailable) as refused:
            await busy.call("third in the queue")  # 3 places, of which 4 come free every `holds`
        assert refused.value.retry_after == pytest.approx(told)
        await asyncio.gather(*tasks)

    run(main())


def test_a_call_whose_deadline_would_pass_in_the_queue_is_sent_away_at_once():
    async def main():
        busy = _Busy(1, 10)
        await busy.call("teaches how long calls take", holds=10)
        tasks = [busy.start("in"), busy.start("waits")]
        await busy.settle()
        with pytest.raises(ServiceUnavailable) as refused:
            await busy.call("in vain", deadline=19)
        assert busy.loop.time() == 10
        assert refused.value.retry_after == pytest.approx(20)
        await asyncio.gather(*tasks, busy.call("in time", deadline=21))
        assert busy.served[-1] == ("in time", 30)

    run(main())


def test_a_deadline_that_passes_in_the_queue_ends_the_call_and_takes_no_place():
    async def main():
        busy = _Busy(1, 10)
        task = busy.start("in", holds=100)
        await busy.settle()
        with pytest.raises(DeadlineExceeded):
            await busy.call("late", deadline=5)  # nothing is known yet, so it may wait
        assert busy.loop.time() < 6
        assert busy.admission.queued == 0
        await task
        busy.check_idle()

    run(main())


def test_a_caller_that_leaves_the_queue_leaves_no_trace():
    async def main():
        busy = _Busy(1, 10)
        tasks = [busy.start(i) for i in range(3)]
        await busy.settle()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert tasks[1].cancelled()
        assert busy.served == [(0, 0), (2, 10)]
        busy.check_idle()

    run(main())


def test_a_caller_that_leaves_in_the_moment_it_gets_a_place_gives_it_on():
    async def main():
        busy = _Busy(1, 10)
        tasks = [busy.start(i) for i in range(3)]
        await busy.settle()
        busy.loop.call_at(10, tasks[1].cancel)  # after the timer that ends the first, in one turn
        await asyncio.gather(*tasks, return_exceptions=True)
        assert tasks[1].cancelled()
        assert [name for name, _ in busy.served] == [0, 2]
        busy.check_idle()

    run(main())


def test_a_place_that_was_given_to_a_call_that_ends_goes_to_the_next():
    async def main():
        admission = Admission(1, 10, lambda: 0.0)
        entered = await admission.enter(INTERACTIVE, Call("id").wait, None)
        ending = asyncio.create_task(admission.enter(INTERACTIVE, Call("id").wait, None))
        waits = asyncio.create_task(admission.enter(INTERACTIVE, Call("id").wait, None))
        await asyncio.sleep(0)
        admission.leave(entered)  # the place is given to the first that waits ...
        ending.cancel()  # ... which is cancelled before it can run
        assert await waits == 0
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert (admission.in_flight, admission.queued) == (1, 0)

    run(main())


def test_interactive_calls_get_four_of_five_places_and_batch_calls_the_fifth():
    async def main():
        busy = _Busy(1, 100)
        batch = [busy.start("b", priority=BATCH) for _ in range(7)]
        interactive = [busy.start("i") for _ in range(10)]
        await asyncio.gather(*batch, *interactive)
        order = "".join(name for name, _ in busy.served)
        # The first came when nobody waited; the last batch calls have no interactive ones beside.
        assert order == "b" + "iiiib" + "iiiib" + "ii" + "bbbb"

    run(main())


def test_a_full_queue_sheds_the_youngest_batch_call_for_an_interactive_one():
    async def main():
        busy = _Busy(1, 2)
        await busy.call("teaches how long calls take", holds=3)
        holder = busy.start("in")
        older, younger = busy.start("older", priority=BATCH), busy.start("younger", priority=BATCH)
        await busy.settle()
        interactive = busy.start("interactive")
        await busy.settle()
        with pytest.raises(ServiceUnavailable) as shed:
            await younger
        assert busy.loop.time() == 3
        assert shed.value.retry_after >= 3
        await asyncio.gather(holder, older, interactive)
        assert [name for name, _ in busy.served[1:]] == ["in", "interactive", "older"]
        busy.check_idle()

    run(main())


def test_a_full_queue_without_batch_calls_sheds_who_comes_whatever_its_priority():
    async def main():
        busy = _Busy(1, 1)
        tasks = [busy.start("in"), busy.start("waits")]
        await busy.settle()
        for priority in Priority:
            with pytest.raises(ServiceUnavailable):
                await busy.call("too many", priority=priority)
        await asyncio.gather(*tasks)

    run(main())


def test_a_batch_call_expects_to_wait_for_the_interactive_calls_that_go_first():
    async def main():
        busy = _Busy(1, 10)
        await busy.call("teaches how long calls take", holds=10)
        tasks = [busy.start("in"), *(busy.start("i") for _ in range(3))]
        await busy.settle()
        with pytest.raises(ServiceUnavailable):
            await busy.call("batch", priority=BATCH, deadline=39)
        await asyncio.gather(*tasks, busy.call("batch", priority=BATCH, deadline=41))
        assert busy.served[-1] == ("batch", 50)

    run(main())


def test_all_who_wait_are_sent_away_when_the_process_drains_and_who_is_in_stays():
    async def main():
        busy = _Busy(1, 10)
        holder = busy.start("in")
        waiting = [busy.start("waits", priority=priority) for priority in Priority]
        await busy.settle()
        busy.admission.dismiss(lambda: ServiceUnavailable("draining", retry_after=1))
        for task in waiting:
            with pytest.raises(ServiceUnavailable, match="draining"):
                await task
        assert busy.loop.time() == 0
        await holder
        busy.check_idle()

    run(main())


def test_more_places_are_given_at_once_and_fewer_when_they_come_free():
    async def main():
        busy = _Busy(1, 10)
        tasks = [busy.start(i) for i in range(6)]
        await busy.settle()
        busy.admission.resize(3, 10)
        await busy.settle()
        assert busy.admission.in_flight == 3
        busy.admission.resize(1, 10)
        await asyncio.gather(*tasks)
        assert busy.served == [(0, 0), (1, 0), (2, 0), (3, 10), (4, 20), (5, 30)]
        busy.check_idle()

    run(main())


@pytest.mark.parametrize(
    ("text", "priority"),
    [(None, INTERACTIVE), ("interactive", INTERACTIVE), ("batch", BATCH), (" Batch ", BATCH)],
)
def test_a_priority_is_one_of_two_words_and_by_default_somebody_waits(text, priority):
    assert from_text(text) is priority


@pytest.mark.parametrize("text", ["", "urgent", "batch,interactive", "2"])
def test_any_other_word_is_refused_by_the_name_of_the_header(text):
    with pytest.raises(InvalidRequest) as refused:
        from_text(text)
    assert refused.value.violations[0].field == "x-llmbase-priority"
