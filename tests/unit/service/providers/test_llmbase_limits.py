"""The limits on an attempt at another llmbase, each met at its full length in virtual time."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from llmbase.v1.chat_completion_pb2_grpc import add_ChatCompletionServiceServicer_to_server

from channel.in_process import InProcessServer
from service.config import TimeoutsConfig
from service.errors import DeadlineExceeded, FaultKind, ProviderFault, TotalLimitExceeded
from service.providers.call import Call
from service.providers.llmbase_provider import LlmbaseProvider
from tests.unit.service.providers.scripted_llmbase import ScriptedLlmbase, last, stalls, text
from tests.unit.service.providers.test_llmbase_provider import _ask, _chunks
from tests.unit.virtual_time import in_virtual_time, now

both_shapes = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])


@contextlib.asynccontextmanager
async def asking(answer, **timeouts):
    """Another llmbase, and the provider that asks it."""
    server, far = InProcessServer(), ScriptedLlmbase(answer)
    add_ChatCompletionServiceServicer_to_server(far, server)
    provider = LlmbaseProvider(
        "far",
        server.channel(),
        timeouts=TimeoutsConfig(**timeouts),
        metadata=(),
        secrets=(),
    )
    try:
        yield far, provider
    finally:
        await provider.close()
        await server.stop(None)


async def ended(provider, streamed, **call):
    """Return when a call has failed, and how."""
    error = None
    try:
        outcome = await _ask(provider, streamed, Call("r", **call))
        error = outcome[1] if streamed else None
    except (ProviderFault, DeadlineExceeded, TotalLimitExceeded) as raised:
        error = raised
    return now(), error.kind if isinstance(error, ProviderFault) else type(error)


@both_shapes
@in_virtual_time
async def test_first_content_is_waited_for_as_long_as_is_said(streamed):
    async with asking(stalls, first_content=12) as (_, provider):
        assert await ended(provider, streamed) == (12, FaultKind.SLOW)


@both_shapes
@in_virtual_time
async def test_the_total_limit_ends_the_attempt_and_is_told_to_them(streamed):
    async with asking(stalls, first_content=100, total=60) as (far, provider):
        assert await ended(provider, streamed) == (60, TotalLimitExceeded)
        assert far.seconds == [60]


@both_shapes
@in_virtual_time
async def test_the_callers_deadline_ends_the_call_and_is_told_to_them(streamed):
    async with asking(stalls, first_content=100, total=60) as (far, provider):
        assert await ended(provider, streamed, seconds=20) == (19.95, DeadlineExceeded)
        assert far.seconds == [19.95]


@in_virtual_time
async def test_silence_after_the_first_content_is_waited_for_as_long_as_is_said():
    async def falls_silent(request, context):
        await asyncio.sleep(4)
        await context.write(text("Hel"))
        await stalls(request, context)

    async with asking(falls_silent, idle=10) as (_, provider):
        assert await ended(provider, streamed=True) == (14, FaultKind.SLOW)


@in_virtual_time
async def test_a_call_that_is_over_but_does_not_end_is_cancelled_a_second_later():
    async def lingers(request, context):
        await context.write(text("Hello"))
        await context.write(last())
        await stalls(request, context)

    async with asking(lingers) as (far, provider):
        _, error = await _chunks(provider)
        assert (now(), error, far.cancelled.is_set()) == (0, None, False)
        await provider.close()
        assert (now(), far.cancelled.is_set()) == (1, True)
