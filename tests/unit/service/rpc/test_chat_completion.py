"""The servicer: what is closed, said and logged however a call ends."""

import asyncio
import json
import logging

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.accounts.local_limits import LocalLimiter
from service.admission.admission import Admission
from service.config import IdempotencyConfig, ModelConfig
from service.errors import UpstreamTruncated
from service.idempotency.store import Store
from service.rpc.answers import Answers
from service.rpc.calls import Calls
from service.rpc.chat_completion import ChatCompletionServicer
from service.rpc.desk import Desk
from telemetry.log import JsonLines
from telemetry.metrics import CALLS, Metrics
from tests.support.metrics_page import counted
from tests.unit.service.rpc.generations import KEY, FreeOfCharge, current

SECRET = "what the caller said in confidence"
REQUEST = pb.ChatCompletionRequest(
    model="m", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=SECRET)])]
)


class _Aborted(Exception):
    pass


class _Context:
    def __init__(self, authorization=f"Bearer {KEY}", write=None):
        self.metadata = [("authorization", authorization), ("x-request-id", "r-1")]
        self.written = []
        self.initial = None
        self.aborted = None
        self._write = write

    def invocation_metadata(self):
        return self.metadata

    def auth_context(self):
        return {}

    def time_remaining(self):
        return None

    async def send_initial_metadata(self, metadata):
        self.initial = dict(metadata)

    def set_trailing_metadata(self, metadata):
        self.trailing = dict(metadata)

    async def write(self, message):
        if self._write is not None:
            await self._write()
        self.written.append(message)

    async def abort(self, code, details, trailing_metadata):
        self.aborted = code
        raise _Aborted(details)


class _Answer:
    def __init__(self, *items):
        self.route = pb.RouteFacts(requested_model="m", served_model="m", provider="p", attempts=1)
        self.usage = pb.Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
        self.closed = 0
        self._items = list(items)

    async def read(self):
        item = self._items.pop(0) if self._items else None
        if isinstance(item, asyncio.Event):
            await item.wait()
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.closed += 1


class _Dispatcher:
    def __init__(self, answer):
        self._answer = answer

    async def stream(self, request, call, trace):
        if isinstance(self._answer, asyncio.Event):
            await self._answer.wait()
        return self._answer

    complete = stream


class _Router:
    def model(self, model_id):
        return ModelConfig.model_validate({"targets": [{"provider": "p"}]})


@pytest.fixture
def lines(caplog):
    """Return the log so far, as it is written."""
    caplog.set_level(logging.INFO)
    return lambda: [json.loads(JsonLines().format(record)) for record in caplog.records]


def _servicer(answer, metrics=None, admission=None):
    generation = current(_Router(), _Dispatcher(answer))
    admission = admission or Admission(10, 0, lambda: 0.0)
    metrics = metrics or Metrics({})
    desk = Desk(LocalLimiter(lambda: 0, metrics), admission, FreeOfCharge(), lambda: 0.0, metrics)
    calls = Calls(generation, lambda: 0.0, metrics, desk)
    return ChatCompletionServicer(calls, Answers(calls, Store(IdempotencyConfig()), metrics)), calls


def _chunk(text):
    return pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content=text)])


async def _cancelled(coroutine):
    task = asyncio.ensure_future(coroutine)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Returning normally after a cancellation is what leaks native memory per call.
    assert task.cancelled()


async def test_a_stream_is_written_and_its_route_goes_out_first(lines):
    answer = _Answer(_chunk("a"), _chunk("b"))
    servicer, calls = _servicer(answer)
    context = _Context()
    await servicer.StreamChatCompletion(REQUEST, context)
    assert [chunk.choices[0].content for chunk in context.written] == ["a", "b"]
    assert context.initial["x-llmbase-provider"] == "p"
    assert answer.closed == 1
    await asyncio.wait_for(calls.ended(), 1)
    (line,) = lines()
    assert (line["outcome"], line["request_id"], line["key"]) == ("OK", "r-1", "demo")
    assert line["completion_tokens"] == 2


@pytest.mark.parametrize("method", ["CreateChatCompletion", "StreamChatCompletion"])
async def test_a_cancellation_before_the_answer_stays_one(method, lines):
    servicer, calls = _servicer(asyncio.Event())
    await _cancelled(getattr(servicer, method)(REQUEST, _Context()))
    await asyncio.wait_for(calls.ended(), 1)
    assert lines()[-1]["outcome"] == "CANCELLED"


async def test_a_cancellation_between_chunks_closes_the_answer_and_stays_one(lines):
    answer = _Answer(_chunk("a"), asyncio.Event())
    servicer, _ = _servicer(answer)
    await _cancelled(servicer.StreamChatCompletion(REQUEST, _Context()))
    assert answer.closed == 1
    assert lines()[-1]["outcome"] == "CANCELLED"


async def test_a_cancellation_inside_a_blocked_write_closes_the_answer_and_stays_one():
    answer = _Answer(_chunk("a"))
    servicer, _ = _servicer(answer)
    await _cancelled(servicer.StreamChatCompletion(REQUEST, _Context(write=asyncio.Event().wait)))
    assert answer.closed == 1


async def test_a_caller_that_leaves_with_the_last_chunk_in_hand_has_had_its_answer(lines):
    answer = _Answer(_chunk("a"), pb.ChatCompletionChunk(last=True))
    servicer, _ = _servicer(answer)
    given = []

    async def write():
        given.append(1)
        if len(given) == 2:  # it is on its way, but we have not been told
            await asyncio.Event().wait()

    await _cancelled(servicer.StreamChatCompletion(REQUEST, _Context(write=write)))
    assert answer.closed == 1
    assert lines()[-1]["outcome"] == "OK"


@pytest.mark.parametrize("last", [False, True])
async def test_a_write_that_fails_because_the_caller_left_is_a_cancellation(last, lines):
    async def fails():
        raise grpc.aio.InternalError("Failed ExecuteBatch")

    answer = _Answer(pb.ChatCompletionChunk(last=last))
    servicer, _ = _servicer(answer)
    with pytest.raises(asyncio.CancelledError):
        await servicer.StreamChatCompletion(REQUEST, _Context(write=fails))
    assert answer.closed == 1
    assert [line["level"] for line in lines()] == ["info"]
    assert lines()[-1]["outcome"] == "CANCELLED"


async def test_an_error_after_content_is_a_status_and_the_log_says_which(lines):
    answer = _Answer(_chunk("a"), UpstreamTruncated("cut"))
    servicer, _ = _servicer(answer)
    context = _Context()
    with pytest.raises(_Aborted):
        await servicer.StreamChatCompletion(REQUEST, context)
    assert context.aborted is grpc.StatusCode.UNAVAILABLE
    assert answer.closed == 1
    assert lines()[-1]["outcome"] == "UPSTREAM_TRUNCATED"


async def test_a_fault_of_ours_is_internal_and_quotes_nobody(lines):
    servicer, _ = _servicer(_Answer(ValueError(f"cannot handle {SECRET}")))
    context = _Context()
    with pytest.raises(_Aborted, match="Something went wrong on our side"):
        await servicer.StreamChatCompletion(REQUEST, context)
    assert context.aborted is grpc.StatusCode.INTERNAL
    assert SECRET not in json.dumps(lines())
    assert KEY not in json.dumps(lines())


async def test_while_draining_new_calls_are_refused_and_open_ones_are_ended_at_last(lines):
    answer = _Answer(_chunk("a"), asyncio.Event())
    servicer, calls = _servicer(answer)
    open_call = asyncio.ensure_future(servicer.StreamChatCompletion(REQUEST, _Context()))
    await asyncio.sleep(0)
    calls.refuse()
    context = _Context()
    with pytest.raises(_Aborted, match="shutting down"):
        await servicer.CreateChatCompletion(REQUEST, context)
    assert context.aborted is grpc.StatusCode.UNAVAILABLE
    assert not open_call.done()
    open_call.cancel()
    await asyncio.wait([open_call])
    await asyncio.wait_for(calls.ended(), 1)


async def test_every_call_is_counted_by_how_it_ended_refused_ones_too():
    methods = ["CreateChatCompletion", "StreamChatCompletion"]
    reasons = ["OK", "CANCELLED", "UPSTREAM_TRUNCATED", "SERVICE_UNAVAILABLE"]
    metrics = Metrics({"method": methods, "reason": reasons})
    await _servicer(_Answer(_chunk("a")), metrics)[0].StreamChatCompletion(REQUEST, _Context())
    cut, _ = _servicer(_Answer(UpstreamTruncated("cut")), metrics)
    with pytest.raises(_Aborted):
        await cut.StreamChatCompletion(REQUEST, _Context())
    silent, calls = _servicer(asyncio.Event(), metrics)
    await _cancelled(silent.CreateChatCompletion(REQUEST, _Context()))
    calls.refuse()
    with pytest.raises(_Aborted):
        await silent.CreateChatCompletion(REQUEST, _Context())
    assert counted(metrics.render(), CALLS.name) == {
        ("StreamChatCompletion", "OK"): 1,
        ("StreamChatCompletion", "UPSTREAM_TRUNCATED"): 1,
        ("CreateChatCompletion", "CANCELLED"): 1,
        ("CreateChatCompletion", "SERVICE_UNAVAILABLE"): 1,
    }
