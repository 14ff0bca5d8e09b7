"""A provider's limits on one attempt, each met in virtual time and at its full length."""

from __future__ import annotations

import asyncio

import pytest

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault, TotalLimitExceeded
from service.providers.call import Call
from service.providers.limits import Limits
from tests.unit.service.providers.timed_http import (
    COMMENT,
    CONTENT,
    EMPTY,
    FINISH,
    FOREVER,
    NOTHING,
    REQUEST,
    ROLE,
    WHOLE,
    Response,
    chunks,
    provider,
)
from tests.unit.virtual_time import run


def now():
    return asyncio.get_running_loop().time()


def fault(made, response, *, streamed=True):
    """Ask, and return when which fault came; the connection must be closed in that moment."""

    async def main():
        call = Call("id")
        with pytest.raises((ProviderFault, TotalLimitExceeded)) as caught:
            await (chunks(made, call) if streamed else made.complete(REQUEST, call))
        assert response.closed in (None, now())
        error = caught.value
        return now(), error.kind if isinstance(error, ProviderFault) else type(error)

    return run(main())


def signs(of_life):
    """One every second."""
    return Response(*[(1, of_life)] * 4000)


@pytest.mark.parametrize("head", [5.0, FOREVER])
@pytest.mark.parametrize("streamed", [True, False])
def test_first_content_is_waited_for_as_long_as_is_said(head, streamed):
    response = Response((FOREVER, CONTENT))
    made = provider(response, head, first_content=12)
    assert fault(made, response, streamed=streamed) == (12, FaultKind.SLOW)


def test_a_streams_first_content_is_waited_for_thirty_seconds_where_nothing_is_said():
    response = Response((FOREVER, CONTENT))
    assert fault(provider(response), response) == (30, FaultKind.SLOW)


@pytest.mark.parametrize(
    "of_life", [COMMENT, ROLE, EMPTY, NOTHING, b"\n"], ids=lambda it: it.decode()[:60].strip()
)
def test_signs_of_life_do_not_make_the_first_content_later(of_life):
    response = signs(of_life)
    assert fault(provider(response, first_content=30), response) == (30, FaultKind.SLOW)


def test_a_whole_answer_has_all_the_time_there_is_where_nothing_is_said():
    async def main():
        call = Call("id")
        await provider(Response((599, WHOLE))).complete(REQUEST, call)
        return now()

    assert run(main()) == 599


@pytest.mark.parametrize("streamed", [True, False])
def test_the_total_limit_is_on_the_attempt_from_its_start(streamed):
    response = Response(*[(5, CONTENT)] * 1000)
    made = provider(response, 3, total=60)
    assert fault(made, response, streamed=streamed) == (60, TotalLimitExceeded)


def test_every_attempt_has_its_own_time_however_many_there_are():
    limit = Limits(TimeoutsConfig(total=10)).total

    async def attempt(begins, lasts):
        await asyncio.sleep(begins)
        call = Call("id")
        limit.start(call)
        try:
            with call.wait:
                await asyncio.sleep(lasts)
        except TotalLimitExceeded:
            return now(), "ended"
        finally:
            limit.let_go(call.wait)
        return now(), "over"

    async def main():
        return await asyncio.gather(
            attempt(0, 1),
            attempt(2, FOREVER),
            attempt(2, FOREVER),
            attempt(5, 9),
            attempt(7, FOREVER),
            attempt(40, FOREVER),
        )

    ends = [(1, "over"), (12, "ended"), (12, "ended"), (14, "over"), (17, "ended"), (50, "ended")]
    assert run(main()) == ends


def test_silence_after_the_first_content_is_waited_for_as_long_as_is_said():
    response = Response((4, CONTENT), (9, CONTENT), (FOREVER, CONTENT))
    assert fault(provider(response, idle=10), response) == (23, FaultKind.SLOW)


def test_a_stream_that_drips_is_given_up():
    response = Response(*[(1, CONTENT)] * 1000)
    at, kind = fault(provider(response, idle=10, min_rate=5), response)
    assert (at, kind) == (11, FaultKind.SLOW)


def test_usage_that_does_not_come_holds_an_answer_for_two_seconds_only():
    async def main():
        response = Response((1, CONTENT), (1, FINISH), (FOREVER, COMMENT))
        read = await chunks(provider(response), Call("id"))
        assert read[-1].last
        return now()

    assert run(main()) == 4


def test_what_an_error_says_is_waited_for_two_seconds_only_its_status_is_known():
    response = Response((FOREVER, b"{}"), status=503)
    assert fault(provider(response, 1), response) == (3, FaultKind.STATUS)


def test_an_answer_that_is_over_but_does_not_end_is_left_to_end_beside_the_caller():
    async def main():
        response = Response((1, CONTENT + FINISH + b"data: [DONE]\n\n"), (FOREVER, b""))
        await chunks(provider(response), Call("id"))
        assert (now(), response.closed, response.lingers) == (1, None, True)

    run(main())


def test_no_limit_is_left_running_when_an_attempt_is_over():
    async def main():
        call = Call("id")
        made = provider(Response((1, CONTENT), (1, FINISH), (1, b"data: [DONE]\n\n")))
        await chunks(made, call)
        await provider(Response((1, WHOLE))).complete(REQUEST, call)
        await asyncio.sleep(10_000)
        with call.wait:  # would raise what a limit has left behind
            await asyncio.sleep(0)

    run(main())
