"""A stream that broke is gone on with by another target, if the caller allows it and it can."""

import asyncio

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import DeadlineExceeded, FaultKind, UpstreamStalled, UpstreamTruncated
from service.providers.call import Call
from tests.unit import virtual_time
from tests.unit.service.routing.fake_providers import (
    REQUEST,
    FakeStream,
    always,
    dispatcher,
    fault,
)

ALLOW = pb.ChatCompletionRequest.CONTINUATION_ALLOW
CUT = fault(FaultKind.TRUNCATED)


def _text(text):
    return pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content=text)])


def _last(**usage):
    finish = pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP)
    chunk = pb.ChatCompletionChunk(choices=[finish], last=True)
    if usage:
        chunk.usage.CopyFrom(pb.Usage(**usage))
    return chunk


def _request(allow=True, **fields):
    request = pb.ChatCompletionRequest(**fields)
    request.MergeFrom(REQUEST)
    if allow:
        request.llmbase.continuation = ALLOW
    return request


def _models(**b):
    targets = [{"provider": "a"}, {"provider": "b", "continuation": True, **b}]
    return {"m": {"targets": targets, "fallbacks": ["n"]}, "n": {"targets": [{"provider": "c"}]}}


def _all(request, models=None, **streams):
    """Read a stream to its end; return the chunks, the providers and the answer."""

    async def main():
        behaviours = {"a": None, "b": None, "c": None} | streams
        made, providers, board = dispatcher(
            models or _models(),
            **{name: always(0, items and FakeStream(*items)) for name, items in behaviours.items()},
        )
        answer = await made.stream(request, Call("id"))
        chunks = []
        try:
            while (chunk := await answer.read()) is not None:
                chunks.append(chunk)
        finally:
            answer.close()
            assert [board.target(it, "m").in_flight for it in "ab"] == [0, 0]
        return chunks, providers, answer

    return virtual_time.run(main())


def test_the_next_target_goes_on_and_the_seam_is_marked():
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    chunks, providers, answer = _all(
        _request(max_tokens=50), a=[_text("12345678"), CUT], b=[_text("9"), _last(**usage)]
    )
    assert "".join(delta.content for chunk in chunks for delta in chunk.choices) == "123456789"
    assert [chunk.HasField("resumed") for chunk in chunks] == [False, True, False]
    assert chunks[1].resumed == pb.Resumed(reason="UPSTREAM_TRUNCATED", provider="b", characters=8)
    assert len({chunk.id for chunk in chunks}) == 1
    sent = providers["b"].requests[0]
    assert sent.messages[-1].role == pb.ROLE_ASSISTANT
    assert sent.messages[-1].content[0].text == "12345678"
    assert sent.max_tokens == 48
    last = chunks[-1].usage
    assert last.completion_tokens == 2 + 1, "the first's is estimated, the second's is its own"
    assert last.estimated
    assert answer.usage == last


def test_what_the_second_bills_is_told_together_with_all_of_the_first():
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    billed = {"billed_prompt_tokens": 0, "billed_completion_tokens": 1}
    chunks, _, _ = _all(_request(), a=[_text("12345678"), CUT], b=[_last(**usage, **billed)])
    last = chunks[-1].usage
    assert last.billed_prompt_tokens == last.prompt_tokens - 9
    assert last.billed_completion_tokens == last.completion_tokens - 1


@pytest.mark.parametrize("field", ["prompt_tokens", "total_tokens", "billed_completion_tokens"])
def test_a_second_that_says_it_has_used_more_than_can_be_is_believed_as_far_as_can_be(field):
    chunks, _, answer = _all(_request(), a=[_text("1"), CUT], b=[_last(**{field: 2**31 - 1})])
    assert getattr(chunks[-1].usage, field) == 2**31 - 1
    assert answer.usage == chunks[-1].usage


def test_without_leave_nobody_else_is_asked():
    for request, models in (
        (_request(allow=False), None),
        (_request(), _models(continuation=False)),
        (_request(n=2), None),
        (_request(logprobs=True), None),
    ):
        with pytest.raises(UpstreamTruncated):
            _all(request, models, a=[_text("x"), CUT], b=[_text("y"), _last()])


def test_a_tool_call_is_never_gone_on_with():
    call = pb.ToolCallDelta(id="1", name="f", arguments="{")
    chunk = pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(tool_calls=[call])])
    with pytest.raises(UpstreamTruncated):
        _all(_request(), a=[chunk, CUT], b=[_text("y"), _last()])


def test_another_model_never_goes_on():
    models = _models(continuation=False)
    models["n"]["targets"][0]["continuation"] = True
    with pytest.raises(UpstreamTruncated):
        _all(_request(), models, a=[_text("x"), CUT], c=[_text("y"), _last()])


def test_when_the_second_breaks_too_its_own_fault_is_told():
    with pytest.raises(UpstreamStalled):
        _all(_request(), a=[_text("x"), CUT], b=[_text("y"), fault(FaultKind.SLOW)])


@pytest.mark.parametrize("hedge", [None, {}])
def test_the_deadline_ends_whoever_goes_on(hedge):
    class Silent(FakeStream):
        def __init__(self, call):
            super().__init__(_last())
            self._wait = call.wait

        async def read(self):
            with self._wait:
                await asyncio.sleep(60)
            return await super().read()

    async def main():
        streams = [FakeStream(_last()) for _ in range(21)]  # until what is usual is known
        streams.append(FakeStream(_text("1"), CUT))
        models = {"m": {**_models()["m"], "fallbacks": [], "hedge": hedge}}
        made, providers, _ = dispatcher(
            models, a=lambda n: (0.01 if n else 0.02, streams[n]), b=None, c=None
        )

        async def silent(http, choices, call):
            return Silent(call)

        providers["b"].stream = silent
        for _ in range(21):
            (await made.stream(REQUEST, Call("id"))).close()
        loop = asyncio.get_running_loop()
        answer, began = await made.stream(_request(), Call("id", seconds=10)), loop.time()
        await answer.read()
        with pytest.raises(DeadlineExceeded):
            await answer.read()
        assert loop.time() - began < 10
        answer.close()

    virtual_time.run(main())
