"""Which call finds which answer, and how long and how much is kept."""

from __future__ import annotations

import asyncio

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import IdempotencyConfig
from service.errors import IdempotencyKeyReused, UpstreamError
from service.idempotency.store import Scope, Store, fingerprint
from service.providers.call import Wait
from tests.unit.service.idempotency.test_record import chunk
from tests.unit.virtual_time import in_virtual_time

ALICE = Scope("alice", "k1")
MARK = b"fingerprint"


def says(*texts, failure=None, seconds=1.0):
    async def work(record):
        record.opened(pb.RouteFacts())
        await asyncio.sleep(seconds)
        for text in texts:
            record.add(chunk(text))
        if failure is not None:
            raise failure

    return work


async def begun(store, scope, work, mark=MARK):
    record = store.begin(scope, mark)
    record.fill(work)
    return record


async def ended(store, scope, work, mark=MARK):
    record = await begun(store, scope, work, mark)
    reader = record.read()
    await record.ended()
    reader.close()
    return record


@in_virtual_time
async def test_the_same_call_of_the_same_caller_is_found_running_and_ended_until_its_time_is_up():
    store = Store(IdempotencyConfig(keep=60))
    record = await begun(store, ALICE, says("a"))
    assert store.find(ALICE, MARK) is record
    await record.ended()
    await asyncio.sleep(59)
    assert store.find(ALICE, MARK) is record
    await asyncio.sleep(2)
    assert store.find(ALICE, MARK) is None
    assert (len(store), store.size) == (0, 0)


@in_virtual_time
async def test_another_callers_key_and_another_key_are_other_calls():
    store = Store(IdempotencyConfig())
    await ended(store, ALICE, says("a"))
    assert store.find(Scope("bob", "k1"), MARK) is None
    assert store.find(Scope("alice", "k2"), MARK) is None
    await store.close()


@in_virtual_time
async def test_a_key_of_another_request_is_refused_by_name():
    store = Store(IdempotencyConfig())
    await ended(store, ALICE, says("a"))
    with pytest.raises(IdempotencyKeyReused, match="idempotency_key"):
        store.find(ALICE, b"other")
    await store.close()


@in_virtual_time
async def test_what_failed_or_was_given_up_is_forgotten_so_that_asking_again_is_a_new_call():
    store = Store(IdempotencyConfig())
    await ended(store, ALICE, says("a", failure=UpstreamError("no")))
    assert store.find(ALICE, MARK) is None
    given_up = await begun(store, ALICE, says("a", seconds=1000))
    given_up.stop()
    assert store.find(ALICE, MARK) is None  # even while it is still ending
    anew = await begun(store, ALICE, says("b"))
    await given_up.ended()
    assert store.find(ALICE, MARK) is anew
    await anew.ended()
    assert store.find(ALICE, MARK) is anew
    await store.close()


@in_virtual_time
async def test_what_is_shared_by_likeness_is_over_when_it_ends_and_waits_for_nobody():
    store = Store(IdempotencyConfig(resume_window=30))
    alike = Scope("alice", "", MARK)
    record = await begun(store, alike, says("a", seconds=10))
    reader = record.read()
    assert store.find(alike, MARK) is record
    reader.close()
    await record.ended()
    assert store.find(alike, MARK) is None
    await ended(store, alike, says("a"))
    assert (len(store), store.size) == (0, 0)


@in_virtual_time
async def test_the_oldest_answers_go_first_when_they_are_too_many():
    store = Store(IdempotencyConfig(max_bytes=3 * 5000, keep=60))
    for number in range(5):
        await ended(store, Scope("alice", f"k{number}"), says("x" * 500))
    found = [store.find(Scope("alice", f"k{number}"), MARK) is not None for number in range(5)]
    assert found == [False, False, True, True, True]
    assert store.size <= 3 * 5000
    store.configure(IdempotencyConfig(max_bytes=5000, keep=60))
    assert len(store) == 1
    await asyncio.sleep(70)
    assert (len(store), store.size) == (0, 0)


@in_virtual_time
async def test_a_drain_waits_for_no_caller_to_be_back():
    store = Store(IdempotencyConfig(resume_window=30))
    read = await begun(store, ALICE, says("a", seconds=5))
    alone = await begun(store, Scope("alice", "k2"), says("a", seconds=5))
    reader = read.read()
    alone.read().close()
    store.drain()
    await alone.ended()
    assert alone.failed
    item = await reader.read(Wait())
    assert item is not None
    await read.ended()
    assert read.complete
    await store.close()


@in_virtual_time
async def test_closing_ends_everything():
    store = Store(IdempotencyConfig())
    record = await begun(store, ALICE, says("a", seconds=1000))
    await ended(store, Scope("alice", "k2"), says("a"))
    await store.close()
    assert record.failed
    assert (len(store), store.size) == (0, 0)


def request(**fields):
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])
    return pb.ChatCompletionRequest(model="m", messages=[message], **fields)


def test_requests_are_the_same_when_only_what_names_the_call_differs():
    plain = fingerprint("M", request())
    assert fingerprint("M", request(idempotency_key="k", last_chunk_sequence=3)) == plain
    assert fingerprint("N", request()) != plain
    assert fingerprint("M", request(temperature=1)) != plain
    given = request(metadata={str(n): "v" for n in range(9)})
    back = request(metadata={str(n): "v" for n in reversed(range(9))})
    assert fingerprint("M", given) == fingerprint("M", back)
