"""What calls keep while they wait, and what a drain makes of those that have only just come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

from service.accounts.local_limits import LocalLimiter
from service.admission.admission import Admission
from service.config import IdempotencyConfig, ModelConfig
from service.idempotency.store import Store
from service.providers.call import Call
from service.rpc.answers import Answers
from service.rpc.calls import Calls
from service.rpc.chat_completion import ChatCompletionServicer
from service.rpc.desk import Desk
from telemetry.metrics import Metrics
from tests.support.metrics_page import series
from tests.unit.service.rpc.generations import FreeOfCharge, current
from tests.unit.service.rpc.test_chat_completion import REQUEST, _Answer, _Context


class Router:
    def model(self, model_id: str) -> ModelConfig:
        return ModelConfig.model_validate({"targets": [{"provider": "p"}]})


class Open(_Answer):
    """A stream that has begun, and says nothing more."""

    async def read(self) -> Any:
        await asyncio.Event().wait()


class Dispatcher:
    """Encodes nothing; answers when it is let."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.go_on = asyncio.Event()

    async def stream(self, request: pb.ChatCompletionRequest, call: Call, trace: Any) -> Any:
        self.calls.append(call)
        await self.go_on.wait()
        return Open()

    async def complete(self, request: pb.ChatCompletionRequest, call: Call, trace: Any) -> Any:
        self.calls.append(call)
        await self.go_on.wait()
        return pb.ChatCompletion(route=pb.RouteFacts(attempts=1))


class Door:
    def __init__(
        self,
        places: int = 10,
        dispatcher: Dispatcher | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.dispatcher = dispatcher or Dispatcher()
        self.admission = Admission(places, 10, clock)
        self.metrics = metrics = Metrics({"method": ["CreateChatCompletion"]})
        limiter = LocalLimiter(lambda: 0, metrics)
        desk = Desk(limiter, self.admission, FreeOfCharge(), clock, metrics)
        self.calls = Calls(current(Router(), self.dispatcher), clock, metrics, desk)
        answers = Answers(self.calls, Store(IdempotencyConfig()), metrics)
        servicer = ChatCompletionServicer(self.calls, answers)
        self._stream, self._create = servicer.StreamChatCompletion, servicer.CreateChatCompletion
        self.tasks: list[asyncio.Task[Any]] = []

    def stream(self, key: str) -> _Context:
        request = pb.ChatCompletionRequest()
        request.CopyFrom(REQUEST)
        request.idempotency_key = key
        context = _Context()
        self.tasks.append(asyncio.create_task(self._stream(request, context)))
        return context

    def ask(self) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.create_task(self._create(REQUEST, _Context())))
        return self.tasks[-1]

    async def close(self) -> None:
        self.dispatcher.go_on.set()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_waits_for_anothers_answer_keeps_nothing_of_what_was_seen() -> None:
    door = Door()
    for _ in range(3):
        door.stream("k")
        await turns()
    assert len(door.dispatcher.calls) == 1
    assert [it for it in door.calls._open if it.call.seen is not None] == []
    await door.close()


async def test_a_drain_refuses_calls_that_wait_for_their_cohort_like_those_in_the_queue() -> None:
    door = Door(places=1)
    door.ask()
    await turns()
    assert door.admission.in_flight == 1
    late = [door.ask() for _ in range(4)]
    await asyncio.sleep(0)  # all have been opened; now, in the same turn, the process drains
    door.calls.refuse()
    await turns()
    assert (door.admission.queued, [it.done() for it in late]) == (0, [True] * 4)
    await door.close()


async def test_a_call_is_not_said_to_take_what_the_others_of_its_turn_took() -> None:
    now = 0.0

    class Busy(Dispatcher):
        async def complete(self, request: pb.ChatCompletionRequest, call: Call, trace: Any) -> Any:
            nonlocal now
            now += 1.0
            return pb.ChatCompletion(route=pb.RouteFacts(attempts=1))

    door = Door(places=100, dispatcher=Busy(), clock=lambda: now)
    for _ in range(2):
        await asyncio.gather(*(door.ask() for _ in range(10)))
    page = series(door.metrics.render())
    taken = sum(it for key, it in page.items() if key[0] == "llmbase_overhead_seconds_sum")
    assert taken == 20  # a second for each
