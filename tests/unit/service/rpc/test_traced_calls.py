"""Which spans a call has, how they end, and that no chunk costs anything for them."""

import asyncio
import contextlib

import grpc
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import DeadlineExceeded, FaultKind, ProviderFault
from service.providers.dialects.dialect import HttpRequest
from telemetry.spans import PROVIDER_NAME
from telemetry.tracing import NO_TRACER
from tests.support.recording_tracer import RecordingTracer
from tests.unit.service.rpc.traced_service import Aborted, Context, servicer

REQUEST = pb.ChatCompletionRequest(
    model="m", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])]
)
USAGE = pb.Usage(prompt_tokens=5, completion_tokens=2, cached_tokens=1)
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class _Stream:
    route = None
    characters = 0

    def __init__(self, chunks):
        self._chunks = iter(chunks)

    async def read(self):
        chunk = next(self._chunks, None)
        if isinstance(chunk, BaseException):
            raise chunk
        if isinstance(chunk, asyncio.Event):
            await chunk.wait()
        return chunk

    def close(self):
        pass


class _Provider:
    name = "acme"
    images = None

    def __init__(self, answer):
        self.facts = {PROVIDER_NAME: "openai"}
        self._answer = answer
        self.traces = []

    def encode(self, request, model, call, *, stream):
        return HttpRequest("/", b"")

    async def complete(self, http, call):
        self.traces.append(call.trace)
        if isinstance(self._answer, Exception):
            raise self._answer
        if isinstance(self._answer, asyncio.Event):
            await self._answer.wait()
        return self._answer

    async def stream(self, http, choices, call):
        answer = await self.complete(http, call)
        return _Stream(answer)


def _chunks(count):
    chunk = pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content="x")])
    last = pb.ChatCompletionChunk(
        last=True, usage=USAGE, choices=[pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP)]
    )
    return [chunk] * count + [last]


async def _streamed(tracer, *answers, **metadata):
    providers = {f"p{i}": _Provider(answer) for i, answer in enumerate(answers)}
    context = Context(**metadata)
    with contextlib.suppress(Aborted):
        await servicer(tracer, providers).StreamChatCompletion(REQUEST, context)
    return context, [provider.traces for provider in providers.values()]


async def test_a_chunk_costs_nothing_for_its_spans():
    costs = []
    for count in (2, 200):
        tracer = RecordingTracer()
        context, _ = await _streamed(tracer, _chunks(count))
        assert len(context.written) == count + 1
        assert len(tracer.spans) == 2
        costs.append(tracer.done)
    assert costs[0] == costs[1]


async def test_each_attempt_is_a_span_within_the_rpcs_and_its_provider_is_told_of_it():
    tracer = RecordingTracer()
    fault = ProviderFault(FaultKind.STATUS, "detail", status=503)
    _, told = await _streamed(tracer, fault, _chunks(1), traceparent=PARENT)
    rpc, first, second = tracer.spans
    assert rpc.parent == (PARENT, "")
    assert (first.parent, second.parent) == (rpc, rpc)
    assert told == [[first.context], [second.context]]
    assert [span.ended for span in tracer.spans] == [1, 1, 1]
    assert [span.error for span in tracer.spans] == [None, ("status", True), None]
    assert rpc.told["gen_ai.usage.cache_read.input_tokens"] == 1
    assert second.told["gen_ai.response.finish_reasons"] == ["stop"]
    assert second.told["gen_ai.provider.name"] == "openai"
    assert second.events == ["llmbase.first_content"]


async def test_a_stream_that_breaks_says_how_in_both():
    tracer = RecordingTracer()
    broken = [*_chunks(1)[:1], ProviderFault(FaultKind.TRUNCATED, "detail")]
    await _streamed(tracer, broken)
    rpc, attempt = tracer.spans
    assert (rpc.error, attempt.error) == (("UPSTREAM_TRUNCATED", True), ("truncated", True))
    assert rpc.told["rpc.response.status_code"] == "UNAVAILABLE"
    assert attempt.told["llmbase.attempt.outcome"] == "truncated"
    assert attempt.told["llmbase.usage.estimated"] is True


async def test_a_deadline_is_no_fault_of_the_attempts():
    tracer = RecordingTracer()
    await _streamed(tracer, [*_chunks(1)[:1], DeadlineExceeded("It ran out.")])
    rpc, attempt = tracer.spans
    assert (rpc.error, attempt.error) == (("DEADLINE_EXCEEDED", True), ("ended", False))
    assert [span.ended for span in tracer.spans] == [1, 1]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_caller_that_leaves_is_said_in_both(begun):
    tracer = RecordingTracer()
    never = asyncio.Event()
    asking = asyncio.create_task(_streamed(tracer, [*_chunks(1)[:1], never] if begun else never))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    rpc, attempt = tracer.spans
    assert (rpc.error, attempt.error) == (("CANCELLED", False), ("cancelled", False))
    assert attempt.told["llmbase.attempt.outcome"] == "cancelled"
    assert [span.ended for span in tracer.spans] == [1, 1]


async def test_a_call_that_was_never_opened_has_a_span_that_says_why():
    tracer = RecordingTracer()
    with pytest.raises(Aborted):
        await servicer(tracer, {"p": _Provider(None)}).CreateChatCompletion(
            REQUEST, Context("a-wrong-key")
        )
    (rpc,) = tracer.spans
    assert rpc.name == "llmbase.v1.ChatCompletionService/CreateChatCompletion"
    assert (rpc.error, rpc.ended) == (("INVALID_API_KEY", False), 1)
    assert rpc.told["rpc.response.status_code"] == grpc.StatusCode.UNAUTHENTICATED.name


async def test_a_model_that_does_not_exist_is_not_told():
    tracer = RecordingTracer()
    unknown = pb.ChatCompletionRequest(model="whatever the caller wrote", messages=REQUEST.messages)
    with pytest.raises(Aborted):
        await servicer(tracer, {"p": _Provider(None)}).CreateChatCompletion(unknown, Context())
    (rpc,) = tracer.spans
    assert "gen_ai.request.model" not in rpc.told
    assert rpc.error == ("MODEL_NOT_FOUND", False)


async def test_content_is_told_of_the_rpc_alone_and_only_where_it_is_wanted():
    for wanted in (False, True):
        tracer = RecordingTracer(content=wanted)
        await _streamed(tracer, _chunks(3))
        rpc, attempt = tracer.spans
        told = {name for name in rpc.told if name.endswith("put.messages")}
        assert told == ({"gen_ai.input.messages", "gen_ai.output.messages"} if wanted else set())
        assert not any("messages" in name for name in attempt.told)


async def test_without_traces_a_provider_is_told_what_the_caller_said():
    _, told = await _streamed(NO_TRACER, _chunks(1), traceparent=PARENT, tracestate="v=1")
    assert told == [[(PARENT, "v=1")]]
    _, told = await _streamed(NO_TRACER, _chunks(1))
    assert told == [[None]]
