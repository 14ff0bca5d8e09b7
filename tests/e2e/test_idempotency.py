"""A call that is asked again: joined or given once more, and the provider is asked once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from tests.conftest import Door, Entrance
from tests.support import config as configuration
from tests.support import deployments
from tests.support.asking import hello
from tests.support.config import KEY, NARROW_KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import refuses, says, stream
from tests.support.proto_request import proto_request
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Script, cut, hold
from tests.support.signals import Signal

ROLE, HEL, LO, FINISH, USAGE, DONE = says("Hel", "lo").events()
WINDOW = 1.0  # seconds that a running answer waits for its caller to be back


@pytest.fixture
def product(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Deployment]:
    """A sidecar, so that both doors are there, with a short window and a model of single flight."""
    settings = configuration.standard(upstream)
    settings["idempotency"] = {
        "resume_window": f"{WINDOW * 1000:.0f}ms",
        "keep": "60s",
        "max_answer_bytes": 20_000,
    }
    settings["models"]["test/flight"] = configuration.model(("alpha", "one"), single_flight=True)
    with deployments.sidecar(upstream, tmp_path, settings) as deployment:
        yield deployment


@pytest.fixture(params=["grpc", "rest"])
async def door(request: pytest.FixtureRequest, product: Deployment) -> AsyncIterator[Door]:
    """Each door to the same service."""
    async with Entrance(request.param, product).open(KEY) as opened:
        yield opened


async def ask(door: Door, body: dict[str, Any], key: str, **more: Any) -> Any:
    """Ask with an idempotency key, as each door has it."""
    if isinstance(door, RestDoor):
        return await door.ask(body, headers={"Idempotency-Key": key}, **more)
    return await door.ask(body | {"idempotency_key": key}, **more)


def lines(product: Deployment, message: str = "call") -> list[dict[str, Any]]:
    found = (json.loads(line) for line in product.processes[-1].log.splitlines())
    return [line for line in found if line["message"] == message]


async def until_told(product: Deployment, number: int = 1) -> list[dict[str, Any]]:
    """Return the lines of that many calls: each is written soon after the call's answer."""
    async with asyncio.timeout(10):
        while len(told := lines(product)) < number:  # noqa: ASYNC110 - it is a file
            await asyncio.sleep(0.01)
    return told


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_repeat_gets_the_answer_that_is_kept_and_the_provider_is_asked_once(
    door: Door, product: Deployment, upstream: ScriptedUpstream, streamed: bool
) -> None:
    upstream.on("one", says("Hel", "lo"))
    first = await ask(door, hello("test/one", stream=streamed), "k-1")
    again = await ask(door, hello("test/one", stream=streamed), "k-1")
    assert first.failure is None
    assert first.text == again.text == "Hello"
    assert again.usage == first.usage
    assert (first.route.replayed, again.route.replayed) == (False, True)
    assert len(upstream.requests) == 1
    told = await until_told(product, 2)
    assert [line.get("replayed", False) for line in told] == [False, True]
    assert ["completion_tokens" in line for line in told] == [True, False]


async def test_a_repeat_joins_the_running_stream_from_its_first_chunk(
    door: Door, upstream: ScriptedUpstream
) -> None:
    go_on, begun, joined = Signal(), Signal(), Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    body = hello("test/one", stream=True)
    first = asyncio.create_task(ask(door, body, "k-1", first=begun))
    await begun.wait()
    second = asyncio.create_task(ask(door, body, "k-1", first=joined))
    await joined.wait()
    go_on.set()
    answers = await asyncio.gather(first, second)
    assert [answer.text for answer in answers] == ["Hello", "Hello"]
    assert [answer.complete for answer in answers] == [True, True]
    assert len(upstream.requests) == 1


async def test_who_leaves_and_is_back_in_time_finds_it_going_on(
    door: Door, product: Deployment, upstream: ScriptedUpstream
) -> None:
    go_on, begun = Signal(), Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE))
    body = hello("test/one", stream=True)
    first = asyncio.create_task(ask(door, body, "k-1", first=begun))
    await begun.wait()
    first.cancel()
    await asyncio.wait([first])
    exchange = await upstream.arrival(1)
    await until_told(product)  # the service knows
    go_on.set()
    again = await ask(door, body, "k-1")
    assert (again.text, again.complete) == ("Hello", True)
    assert exchange.left.at is None
    assert len(upstream.requests) == 1
    (alone,) = lines(product, "answer went on without its caller")
    assert alone["outcome"] == "OK"
    assert alone["completion_tokens"] > 0


async def test_who_does_not_come_back_stops_paying_when_the_window_is_over(
    door: Door, upstream: ScriptedUpstream
) -> None:
    begun = Signal()
    upstream.on("one", stream(ROLE, HEL, hold(Signal()), LO), says("Hi"))
    body = hello("test/one", stream=True)
    first = asyncio.create_task(ask(door, body, "k-1", first=begun))
    await begun.wait()
    first.cancel()
    await asyncio.wait([first])
    exchange = await upstream.arrival(1)
    await exchange.left.wait()
    again = await ask(door, body, "k-1")  # a new call: nothing whole was there to be kept
    assert again.text == "Hi"
    assert not again.route.replayed


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_failed_is_told_and_asking_again_is_a_new_call(
    door: Door, upstream: ScriptedUpstream, streamed: bool
) -> None:
    upstream.on("one", refuses(500), says("Hi"))
    body = hello("test/one", stream=streamed)
    assert (await ask(door, body, "k-1")).failure.code == "all_providers_failed"
    assert (await ask(door, body, "k-1")).text == "Hi"


async def test_a_stream_that_breaks_breaks_for_all_who_read_it(
    door: Door, upstream: ScriptedUpstream
) -> None:
    go_on, begun, joined = Signal(), Signal(), Signal()
    upstream.on("one", stream(ROLE, HEL, hold(go_on), cut))
    body = hello("test/one", stream=True)
    first = asyncio.create_task(ask(door, body, "k-1", first=begun))
    await begun.wait()
    second = asyncio.create_task(ask(door, body, "k-1", first=joined))
    await joined.wait()
    go_on.set()
    for answer in await asyncio.gather(first, second):
        assert (answer.text, answer.complete) == ("Hel", False)
        assert answer.failure.code == "upstream_truncated"


async def test_a_key_of_another_request_is_refused_and_nothing_is_spent(
    door: Door, product: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hi"))
    await ask(door, hello("test/one"), "k-1")
    for other in (
        hello("test/one", temperature=0.5),
        hello("test/one", stream=True),
        hello("test/two"),
    ):
        failure = (await ask(door, other, "k-1")).failure
        assert (failure.status, failure.code) == (422, "idempotency_key_reused")
        assert failure.param == "idempotency_key"
    assert len(upstream.requests) == 1


async def test_the_same_word_of_another_caller_is_another_key(
    door: Door, product: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("Hi"), says("Ho"))
    assert (await ask(door, hello("zai-org/glm-5"), "k-1")).text == "Hi"
    kind = "rest" if isinstance(door, RestDoor) else "grpc"
    async with Entrance(kind, product).open(NARROW_KEY) as other:
        assert (await ask(other, hello("zai-org/glm-5"), "k-1")).text == "Ho"


async def test_an_answer_that_is_too_large_to_keep_is_whole_and_refused_the_second_time(
    door: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says(*["x" * 1000] * 40))
    body = hello("test/one", stream=True)
    assert (await ask(door, body, "k-1")).text == "x" * 40_000
    failure = (await ask(door, body, "k-1")).failure
    assert (failure.status, failure.code) == (422, "stream_not_resumable")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "mot français"])
async def test_a_key_that_is_none_is_refused_by_name(product: Deployment, key: str) -> None:
    async with RestDoor(product.http, KEY) as door:
        failure = (await door.ask(hello("test/one"), headers={"Idempotency-Key": key})).failure
    assert failure is not None
    assert failure.status == 400
    assert "1 to 255 visible ASCII characters" in failure.message


async def test_grpc_goes_on_after_any_chunk_and_never_begins_anew(
    product: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", stream(*says("a", "b", "c").events()))
    async with GrpcDoor(product.grpc, KEY) as door:

        async def chunks(**more: Any) -> list[pb.ChatCompletionChunk]:
            request = proto_request(hello("test/one", stream=True))
            request.idempotency_key = "k-1"
            for name, value in more.items():
                setattr(request, name, value)
            call = door.chat.StreamChatCompletion(request, metadata=door.metadata())
            return [chunk async for chunk in call]

        unknown = await door.ask(
            hello("test/one", stream=True, idempotency_key="k-0", last_chunk_sequence=0)
        )
        assert unknown.failure is not None
        assert unknown.failure.code == "stream_not_resumable"
        assert not upstream.requests

        whole = await chunks()
        assert [chunk.sequence for chunk in whole] == list(range(1, len(whole) + 1))
        for after in range(len(whole) + 1):
            rest = await chunks(last_chunk_sequence=after)
            assert [chunk.sequence for chunk in rest] == list(range(after + 1, len(whole) + 1))
            assert all(chunk.route.replayed for chunk in rest[:1])
            for one, other in zip(rest, whole[after:], strict=True):
                assert (one.choices, one.id, one.last) == (other.choices, other.id, other.last)
    assert len(upstream.requests) == 1


async def test_rest_goes_on_after_any_event_byte_for_byte(
    product: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", stream(*says("a", "b", "c").events()))
    body = json.dumps(hello("test/one", stream=True)).encode()
    async with RestDoor(product.http, KEY) as door:
        named = {"Idempotency-Key": "k-1"}
        unknown = await door.send(body, named | {"Last-Event-ID": "1.1.0"})
        assert unknown.status == 422
        assert not upstream.requests
        whole = await door.send(body, named)
        assert "x-llmbase-idempotent-replay" not in whole.headers
        events = whole.body.split(b"\n\n")[:-1]
        for number, event in enumerate(events[:-1], 1):
            (name,) = [it[4:] for it in event.split(b"\n") if it.startswith(b"id: ")]
            rest = await door.send(body, named | {"Last-Event-ID": name.decode()})
            assert rest.status == 200
            assert rest.headers["x-llmbase-idempotent-replay"] == "true"
            assert rest.body.split(b"\n\n")[:-1] == events[number:]
        assert events[-1] == b"data: [DONE]"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("headers", "stream"),
    [
        ({"Idempotency-Key": "k", "Last-Event-ID": "odd"}, True),
        ({"Idempotency-Key": "k", "Last-Event-ID": "1.1.0"}, False),
        ({"Last-Event-ID": "1.1.0"}, True),
    ],
)
async def test_a_last_event_that_cannot_be_gone_on_with_is_refused_by_name(
    product: Deployment, headers: dict[str, str], stream: bool
) -> None:
    async with RestDoor(product.http, KEY) as door:
        failure = (await door.ask(hello("test/one", stream=stream), headers=headers)).failure
    assert failure is not None
    assert (failure.status, failure.param) == (400, "Last-Event-ID")


async def test_without_a_key_there_are_no_ids_and_no_numbers(
    product: Deployment, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hi"), says("Hi"))
    body = json.dumps(hello("test/one", stream=True)).encode()
    async with RestDoor(product.http, KEY) as rest:
        assert b"id: " not in (await rest.send(body)).body
    async with GrpcDoor(product.grpc, KEY) as door:
        request = proto_request(hello("test/one", stream=True))
        call = door.chat.StreamChatCompletion(request, metadata=door.metadata())
        assert [chunk.sequence async for chunk in call if chunk.sequence] == []


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_identical_calls_at_one_time_share_an_answer_where_the_model_allows_it(
    door: Door, upstream: ScriptedUpstream, streamed: bool
) -> None:
    go_on = Signal()
    plan = stream(ROLE, HEL, hold(go_on), LO, FINISH, USAGE, DONE)
    if not streamed:
        plan = Script([says("Hel", "lo").body()], before=[hold(go_on)])
    upstream.on("one", plan, says("Hi"))
    body = hello("test/flight", stream=streamed)
    tasks = [asyncio.create_task(door.ask(body)) for _ in range(5)]
    await upstream.arrival(1)
    await asyncio.wait(tasks, timeout=0.3)
    go_on.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.text for answer in answers] == ["Hello"] * 5
    assert sorted(answer.route.replayed for answer in answers) == [False] + [True] * 4
    assert len(upstream.requests) == 1
    assert (await door.ask(body)).text == "Hi"  # what is over is not kept


async def test_identical_calls_are_apart_where_nobody_asked_for_less(
    door: Door, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hi"), says("Hi"))
    await asyncio.gather(door.ask(hello("test/one")), door.ask(hello("test/one")))
    assert len(upstream.requests) == 2
