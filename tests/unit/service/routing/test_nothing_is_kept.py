"""A call that is over is let go of at once: prompts can be megabytes, and collections are rare."""

from __future__ import annotations

import gc
import sys

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import AllProvidersFailed, FaultKind, ProviderFault
from service.providers.call import Call
from service.providers.seen import Seen
from tests.unit.service.routing.test_dispatcher import (
    REQUEST,
    _dispatcher,
    _fault,
    _Stream,
    _whole,
)


@pytest.fixture
def _no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("how", ["answer", "fallback", "stream", "failure"])
async def test_nobody_holds_a_request_whose_call_is_over(how):
    request = pb.ChatCompletionRequest()
    request.CopyFrom(REQUEST)
    before = sys.getrefcount(request)
    await _ask(how, request)
    assert sys.getrefcount(request) == before


async def _ask(how, request):
    if how == "stream":
        last = pb.ChatCompletionChunk(last=True, usage=pb.Usage(total_tokens=1))
        dispatcher, _ = _dispatcher(_Stream(last))
        answer = await dispatcher.stream(request, Call("id"))
        assert (await answer.read()).last
        assert await answer.read() is None
        answer.close()
    elif how == "failure":
        dispatcher, _ = _dispatcher(_fault())
        with pytest.raises(AllProvidersFailed) as raised:
            await dispatcher.complete(request, Call("id"))
        raised.value.__traceback__ = None  # whoever holds an error holds the frames it came through
        del raised
    else:
        fault = ProviderFault(FaultKind.CONNECT, "detail")
        answers = (_whole(),) if how == "answer" else (fault, _whole())
        dispatcher, _ = _dispatcher(*answers)
        await dispatcher.complete(request, Call("id"))


@pytest.mark.parametrize("how", ["answer", "fallback", "stream"])
async def test_what_was_seen_of_a_request_is_given_up_before_a_provider_is_waited_for(how):
    last = pb.ChatCompletionChunk(last=True, usage=pb.Usage(total_tokens=1))
    answer = _Stream(last) if how == "stream" else _whole()
    first = _fault() if how == "fallback" else answer
    dispatcher, providers = _dispatcher(first, answer)
    call = Call("id")
    call.seen = Seen(REQUEST)
    kept = []
    for provider in providers.values():
        provider.waited_for = lambda call: kept.append(call.seen)
    if how == "stream":
        (await dispatcher.stream(REQUEST, call)).close()
    else:
        await dispatcher.complete(REQUEST, call)
    assert kept == [None] * (1 + (how == "fallback"))
