"""Asks over REST; the answer must have the form that the API promises."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler

from tests.support import answers, rest_form
from tests.support.answers import Answer
from tests.support.rest_form import Reply, StreamReader
from tests.support.signals import Signal

PATH = "/v1/chat/completions"


class _Connector(aiohttp.TCPConnector):
    """Remembers its connections, so that none outlives the door.

    One whose peer has refused a body and reads no more of it would: its close waits for the rest
    to be taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: list[asyncio.BaseTransport] = []

    async def _create_connection(self, *given: Any, **named: Any) -> ResponseHandler:
        protocol = await super()._create_connection(*given, **named)
        assert protocol.transport is not None
        self._made = [it for it in self._made if not it.is_closing() or _holds(it)]
        self._made.append(protocol.transport)
        return protocol

    def abort(self) -> None:
        """Drop every connection, with whatever is still to be sent."""
        for transport in self._made:
            if transport.is_closing() and not _holds(transport):
                continue  # it is gone, and has no loop any more that could abort it
            if isinstance(transport, asyncio.Transport):
                transport.abort()


def _holds(transport: asyncio.BaseTransport) -> bool:
    return isinstance(transport, asyncio.Transport) and transport.get_write_buffer_size() > 0


class RestDoor:
    """A client of the REST door, as one caller."""

    name = "rest"

    def __init__(self, base_url: str, key: str | None) -> None:
        self.url = base_url
        self._headers = {"Authorization": f"Bearer {key}"} if key is not None else {}

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=answers.REQUEST_TIMEOUT)
        self._connector = _Connector()
        self.session = aiohttp.ClientSession(
            self.url, connector=self._connector, headers=self._headers, timeout=timeout
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connector.abort()
        await self.session.close()
        for _ in range(3):  # what was being sent is told, lets go of its connection, and that ends
            await asyncio.sleep(0)

    def post(
        self, body: bytes, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Post these bytes as a chat completion request; a context with the open answer."""
        named = {"Content-Type": "application/json"} | dict(headers or {})
        # aiohttp warns of large bytes, but not of a file in memory.
        return self.session.post(PATH, data=io.BytesIO(body), headers=named, **options)

    async def send(self, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """Post these bytes as a chat completion request, and read the whole answer."""
        async with self.post(body, headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Get a path, and read the whole answer."""
        async with self.session.get(path, headers=headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def ask(
        self,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = answers.REQUEST_TIMEOUT,
        first: Signal | None = None,
    ) -> Answer:
        """Ask. Sets `first` when the first event has arrived."""
        answer = Answer()
        limit = aiohttp.ClientTimeout(total=timeout)
        async with self.post(json.dumps(body).encode(), headers, timeout=limit) as response:
            if response.status != 200:
                assert response.content_type == "application/json"
                envelope = await response.json()
                answer.failure = rest_form.read_failure(response.status, response.headers, envelope)
            elif body.get("stream"):
                rest_form.check_stream_headers(response.headers)
                answer.route = rest_form.route(response.headers)
                await _read_stream(response, answer, first, options=body.get("stream_options"))
            else:
                answer.route = rest_form.route(response.headers)
                rest_form.read_completion(await response.json(), answer)
        return answer


async def _read_stream(
    response: aiohttp.ClientResponse,
    answer: Answer,
    first: Signal | None,
    options: Mapping[str, Any] | None,
) -> None:
    reader = StreamReader(answer, usage_apart=bool((options or {}).get("include_usage")))
    unread = b""
    async for data in response.content.iter_any():
        events, unread = rest_form.split_events(unread + data)
        for event in events:
            if first is not None:
                first.set()
            reader.read(event)
    assert not unread, "the stream ends in the middle of an event"
    reader.check_over()
