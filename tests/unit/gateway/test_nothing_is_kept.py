"""What a refused request has sent is let go of at once: it can be megabytes, and needs no key."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from llmbase.v1.chat_completion_pb2 import ChatCompletionChunk

from gateway.errors import HttpError
from gateway.transcoding.fields import BadField
from gateway.transcoding.request import request_from_json
from tests.unit.gateway.scripted_service import Gateway, fail, failing, hello


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("broken", [b'{"model": "m"', b"[]", b"[" * 300, b'{"model": 5}'])
def test_nobody_holds_a_body_that_is_no_request(broken: bytes) -> None:
    body = broken + b" " * 1000
    before = sys.getrefcount(body)

    try:
        request_from_json(body)
    except BadField as bad:
        assert bad.param in ("", "model")
    else:
        pytest.fail("it was taken")

    assert sys.getrefcount(body) == before


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_holds_a_call_that_was_refused(stream: bool, gateway: Gateway) -> None:
    async def refuse(request: Any, context: Any) -> AsyncIterator[ChatCompletionChunk]:
        await fail(context, "ALL_PROVIDERS_FAILED")
        yield ChatCompletionChunk()

    gateway.service.whole, gateway.service.stream = failing("ALL_PROVIDERS_FAILED"), refuse
    body = json.dumps(hello(stream=stream)).encode()

    assert (await gateway.ask(body)).status == 502

    assert not [it for it in gc.get_objects() if isinstance(it, HttpError)]
