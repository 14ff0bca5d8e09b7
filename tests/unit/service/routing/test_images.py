"""Images are fetched before a target is asked that takes nothing but bytes."""

import asyncio

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import DeadlineExceeded, InvalidRequest
from service.providers.call import Call
from tests.unit import virtual_time
from tests.unit.service.routing.fake_providers import REQUEST, always, dispatcher, whole

TWO = {"m": {"targets": [{"provider": "a"}, {"provider": "b"}]}}
FETCHED = pb.ChatCompletionRequest(model="fetched")
FOREVER = 10**6  # seconds


class Images:
    """Has them after so many seconds, or refuses to fetch any."""

    def __init__(self, seconds, found=FETCHED):
        self._seconds = seconds
        self._found = found

    async def inline(self, request):
        await asyncio.sleep(self._seconds)
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def asked(images, **fields):
    """Ask with such images for the first target; return which were asked, and for what."""

    async def main():
        made, providers, _ = dispatcher(TWO, a=always(0, whole()), b=always(0, whole()))
        providers["a"].images = images
        call = Call("id", **fields)
        try:
            await made.complete(REQUEST, call)
        finally:
            call.close()
        return [(it.name, it.requests) for it in providers.values() if it.asked]

    return virtual_time.run(main())


def test_a_target_that_takes_bytes_is_asked_with_the_images_that_were_fetched():
    assert asked(Images(1)) == [("a", [FETCHED])]


def test_images_that_cannot_be_fetched_are_for_another_target():
    refusal = InvalidRequest("messages[0]", "must be an image")
    assert asked(Images(1, refusal)) == [("b", [REQUEST])]


def test_the_callers_deadline_ends_the_wait_for_images():
    with pytest.raises(DeadlineExceeded):
        asked(Images(FOREVER), seconds=5)
