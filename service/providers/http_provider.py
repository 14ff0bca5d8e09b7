"""An HTTP endpoint, its key, its limits and its dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from llmbase.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionRequest

from service.config import TimeoutsConfig
from service.errors import FaultKind, ProviderFault
from service.providers import http_faults
from service.providers.call import Call
from service.providers.credentials.credentials import Credentials
from service.providers.dialects.dialect import Dialect, HttpRequest
from service.providers.http_client.client import HttpClient
from service.providers.http_client.errors import HttpFailure
from service.providers.http_client.response import Response
from service.providers.limits import Limits
from service.providers.provider import NO_FACTS, Images
from service.providers.provider_stream import ProviderStream
from telemetry.tracing import Attributes

_LARGEST_ERROR = 64 * 2**10  # bytes of an error body that are looked at
_ERROR_PATIENCE = 2.0  # seconds for the body of an error, whose status is known already


class HttpProvider:
    """Asks one endpoint. Safe for concurrent use; it closes `client`.

    `headers` go with every request; there are no `credentials` where those say who we are.
    """

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        client: HttpClient,
        base_url: str,
        *,
        timeouts: TimeoutsConfig,
        largest_answer: int,
        headers: Mapping[str, str],
        credentials: Credentials | None,
        images: Images,
        secrets: tuple[str, ...] = (),
        facts: Attributes = NO_FACTS,
    ) -> None:
        self.name = name
        self._dialect = dialect
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._limits = Limits(timeouts)
        self._timeouts = timeouts
        self._largest_answer = largest_answer
        self._headers = headers
        self._credentials = credentials
        self.images = None if dialect.takes_image_urls else images
        self._secrets = secrets
        self.facts = facts

    def encode(
        self, request: ChatCompletionRequest, model: str, call: Call, *, stream: bool
    ) -> HttpRequest:
        """Return what would be sent; `ignored` names what of the request would be left out.

        Raises InvalidRequest for what this provider cannot be asked at all.
        """
        return self._dialect.encode(request, model, stream=stream, seen=call.seen)

    async def complete(self, http: HttpRequest, call: Call) -> ChatCompletion:
        """Return the whole answer. Raises ProviderFault, DeadlineExceeded."""
        limit = self._limits.whole
        limit.start(call)
        try:
            with call.wait:
                response = await self._post(http, call)
                body = response.whole
                if body is None or len(body) > self._largest_answer:
                    body = await _read(response, self._largest_answer)
        finally:
            limit.let_go(call.wait)
        return self._dialect.decode(body)

    async def stream(self, http: HttpRequest, choices: int, call: Call) -> ProviderStream:
        """Return a stream of so many choices whose first content has arrived; the caller closes it.

        Raises ProviderFault, DeadlineExceeded.
        """
        total, first_content = self._limits.total, self._limits.first_content
        total.start(call)
        first_content.start(call)
        try:
            with call.wait:
                response = await self._post(http, call)
                stream = ProviderStream(
                    response,
                    self._dialect.framer(),
                    self._dialect.decode_stream(choices),
                    call.wait,
                    self._timeouts,
                    self._largest_answer,
                    total,
                )
                try:
                    await stream.open()
                except BaseException:
                    stream.close()
                    raise
        except BaseException:
            total.let_go(call.wait)
            raise
        finally:
            first_content.let_go(call.wait)
        return stream

    def redact(self, told: str) -> str:
        """Return a message of the provider as it may be passed on to the caller."""
        return http_faults.redact(told, self._secrets)

    async def close(self) -> None:
        """Wait for what lingers (about a second at most), then close the connections."""
        if self._credentials is not None:
            await self._credentials.close()
        await self._client.close()

    async def _post(self, http: HttpRequest, call: Call) -> Response:
        """Send, and return a 2xx answer whose body is still to be read."""
        url = self._base_url + http.path
        headers = {**http.headers, **self._headers} if http.headers else self._headers
        if self._credentials is not None:
            url, headers = await self._credentials.authorize(url, headers, http.body)
        if call.trace is not None:  # after signing: nobody on the way may break a signature by it
            headers = {**headers, **dict(call.trace.entries())}

        try:
            response = await self._client.post(url, headers, http.body, call)
        except (HttpFailure, OSError, ValueError) as error:
            # The text of an exception can hold the URL and its key: its type is enough.
            raise ProviderFault(FaultKind.CONNECT, type(error).__name__) from None
        if 200 <= response.status < 300:
            return response
        raise await self._refusal(response)

    async def _refusal(self, response: Response) -> ProviderFault:
        """Return what an answer means that is none."""
        try:
            async with asyncio.timeout(_ERROR_PATIENCE):
                body = await _read(response, _LARGEST_ERROR)
        except (ProviderFault, TimeoutError):
            body = b""  # the status says enough
        finally:
            response.close()
        return http_faults.from_status(
            response.status,
            response.headers,
            self._dialect.decode_error(response.status, body),
            self._dialect.judge_error(response.status, response.headers, body),
        )


async def _read(response: Response, most: int) -> bytes:
    """Read a body of at most so many bytes, or close the response. Raises ProviderFault."""
    pieces, size = [], 0
    try:
        while size <= most and not response.at_end and (piece := await response.read()):
            pieces.append(piece)
            size += len(piece)
        if size > most:
            raise ProviderFault(FaultKind.MALFORMED, f"a body of more than {most} bytes")
    except BaseException:
        response.close()
        raise
    if not response.clean:
        raise ProviderFault(FaultKind.TRUNCATED, "the connection broke inside the body")
    return b"".join(pieces)
