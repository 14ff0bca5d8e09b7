"""One answer for several readers: what each reads, what is kept, and when the provider is left."""

from __future__ import annotations

import asyncio

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import (
    DeadlineExceeded,
    InvalidRequest,
    StreamNotResumable,
    UpstreamTruncated,
)
from service.idempotency.record import Record
from service.providers.call import Call, Wait
from tests.unit.virtual_time import in_virtual_time, now

ROUTE = pb.RouteFacts(provider="p")


def chunk(text):
    return pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content=text)])


class _Provider:
    """Gives a chunk each second it is read, up to a number; then ends, or fails."""

    def __init__(self, most=5, failure=None, text="x"):
        self.most = most
        self.failure = failure
        self.text = text
        self.read = 0
        self.closed_at = None

    async def work(self, record):
        try:
            record.opened(ROUTE)
            while self.read < self.most:
                await record.demand()
                await asyncio.sleep(1)
                self.read += 1
                record.add(chunk(f"{self.text}{self.read}"))
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed_at = now()


class _Bench:
    def __init__(self, largest=10_000, window=30.0, **provider):
        self.over = []
        self.provider = _Provider(**provider)
        self.record = Record(largest, window, self.over.append)
        self.record.fill(self.provider.work)


async def all_of(reader, most=99, every=0.0):
    found = []
    while len(found) < most and (item := await reader.read(Wait())) is not None:
        found.append(item.choices[0].content)
        await asyncio.sleep(every)
    return found


@in_virtual_time
async def test_a_reader_gets_all_and_so_does_one_who_joins_in_the_middle_or_after_the_end():
    bench = _Bench(most=4)
    first = bench.record.read()
    begun = asyncio.create_task(all_of(first))
    await asyncio.sleep(2.5)
    second = bench.record.read()
    assert await all_of(second) == ["x1", "x2", "x3", "x4"]
    assert await begun == ["x1", "x2", "x3", "x4"]
    third = bench.record.read()
    assert await all_of(third) == ["x1", "x2", "x3", "x4"]
    assert await third.route(Wait()) is ROUTE
    assert bench.provider.read == 4
    assert bench.over == [bench.record]
    assert bench.record.complete


@in_virtual_time
async def test_who_goes_on_after_a_chunk_gets_what_comes_after_it():
    bench = _Bench(most=4)
    await all_of(bench.record.read())
    assert await all_of(bench.record.read(after=3)) == ["x4"]
    assert await all_of(bench.record.read(after=4)) == []
    with pytest.raises(InvalidRequest, match="must be at most 4"):
        bench.record.read(after=5)


@in_virtual_time
async def test_the_provider_is_read_no_faster_than_the_fastest_reader():
    bench = _Bench(most=10)
    slow, fast = bench.record.read(), bench.record.read()
    task = asyncio.create_task(all_of(slow, every=100))
    assert await all_of(fast, most=3) == ["x1", "x2", "x3"]
    await asyncio.sleep(50)
    assert bench.provider.read == 4  # one is on its way to the fast one, who is not there for it
    fast.close()
    await asyncio.sleep(20)
    assert bench.provider.read == 4
    assert len(await task) == 10


@in_virtual_time
async def test_it_goes_on_while_its_caller_may_be_back_and_is_then_given_up():
    bench = _Bench(most=100, window=30)
    reader = bench.record.read()
    await all_of(reader, most=5)
    reader.close()
    await bench.record.ended()
    assert bench.provider.closed_at == 35
    assert bench.record.failed


@in_virtual_time
async def test_who_is_back_in_time_finds_it_running():
    bench = _Bench(most=100, window=30)
    reader = bench.record.read()
    await all_of(reader, most=5)
    reader.close()
    await asyncio.sleep(28.5)
    back = bench.record.read(after=5)
    assert bench.provider.read == 33
    assert len(await all_of(back)) == 95


@in_virtual_time
async def test_without_a_window_it_ends_with_its_last_reader():
    bench = _Bench(window=0)
    one, other = bench.record.read(), bench.record.read()
    await all_of(one, most=2)
    one.close()
    await asyncio.sleep(0.5)
    assert bench.provider.closed_at is None
    other.close()
    await bench.record.ended()
    assert bench.provider.closed_at == 2.5
    assert bench.record.stopping


@in_virtual_time
async def test_what_failed_is_told_to_all_after_what_came_before():
    bench = _Bench(most=2, failure=UpstreamTruncated("cut", retry_after=3.0))
    readers = [bench.record.read() for _ in range(3)]

    async def until_failure(reader):
        found = [(await reader.read(Wait())).choices[0].content for _ in range(2)]
        with pytest.raises(UpstreamTruncated) as caught:
            await reader.read(Wait())
        return found, caught.value

    told = await asyncio.gather(*map(until_failure, readers))
    assert [found for found, _ in told] == [["x1", "x2"]] * 3
    assert len({id(error) for _, error in told}) == 3  # a traceback of one's own each
    assert {(error.message, error.retry_after) for _, error in told} == {("cut", 3.0)}
    assert bench.record.failed


@in_virtual_time
async def test_an_error_of_a_field_is_told_to_all_too():
    bench = _Bench(most=0, failure=InvalidRequest("model", "is odd"))
    for _ in range(2):
        with pytest.raises(InvalidRequest) as caught:
            await bench.record.read().read(Wait())
        assert caught.value.message == "model: is odd"
        assert caught.value.violations[0].field == "model"


@in_virtual_time
async def test_a_readers_own_deadline_ends_its_wait_alone():
    bench = _Bench(most=3)
    hasty, patient = bench.record.read(), bench.record.read()
    call = Call("id", seconds=0.5)
    with pytest.raises(DeadlineExceeded):
        await hasty.read(call.wait)
    hasty.close()
    assert await all_of(patient) == ["x1", "x2", "x3"]


@in_virtual_time
async def test_what_grows_too_large_is_read_to_its_end_but_never_again():
    bench = _Bench(largest=100, most=50, text="x" * 20)
    reader = bench.record.read()
    assert len(await all_of(reader)) == 50
    assert not bench.record.repeatable
    assert bench.record.size <= 100
    with pytest.raises(StreamNotResumable, match="too large"):
        bench.record.read()


@in_virtual_time
async def test_what_is_too_large_does_not_go_on_without_a_reader():
    bench = _Bench(largest=100, most=50, text="x" * 20)
    reader = bench.record.read()
    await all_of(reader, most=10)
    reader.close()
    await bench.record.ended()
    assert bench.provider.read <= 11


@in_virtual_time
async def test_growing_too_large_while_nobody_reads_ends_it():
    bench = _Bench(largest=100, most=50, text="x" * 20)
    reader = bench.record.read()
    await all_of(reader, most=1)
    reader.close()
    await bench.record.ended()
    assert 3 < bench.provider.read < 6


@in_virtual_time
async def test_at_the_end_of_the_process_no_caller_is_waited_for():
    bench = _Bench(most=100)
    reader = bench.record.read()
    await all_of(reader, most=1)
    reader.close()
    bench.record.abandon()
    await bench.record.ended()
    assert bench.provider.closed_at == 1
