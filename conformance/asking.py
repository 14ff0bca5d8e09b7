"""Asks a gateway one question, as any caller of the OpenAI API would."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import aiohttp

from conformance.reading import Reply
from conformance.recordings import Recording

_ANYTHING = {"type": "object", "properties": {}, "additionalProperties": True}


class Caller:
    """A caller of the gateway at `url` (with or without /v1). `patience` is in seconds."""

    def __init__(self, url: str, key: str | None, patience: float) -> None:
        self._url = url.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._patience = patience

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=None)
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def ask(self, question: dict[str, Any]) -> Reply:
        """The whole answer, or what there is of it when it breaks or patience ends."""
        status, kind, body, broken = 0, "", bytearray(), None
        try:
            async with (
                asyncio.timeout(self._patience),
                self._session.post(self._url, json=question) as response,
            ):
                status, kind = response.status, response.content_type
                async for piece in response.content.iter_any():
                    body += piece
        except TimeoutError:
            broken = f"no end within {self._patience:g} s"
        except (aiohttp.ClientError, OSError) as error:
            broken = f"the connection broke ({type(error).__name__})"
        return Reply(status, kind, bytes(body), broken)


def question(recording: Recording, model: str, variant: str) -> dict[str, Any]:
    """A request that the recorded answer could be one to; it says which it is."""
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": f"{recording.name}, {variant}"}],
        "stream": recording.streamed,
    }
    if recording.streamed:
        asked["stream_options"] = {"include_usage": True}
    if recording.expect["choices"] > 1:
        asked["n"] = recording.expect["choices"]
    if names := list(dict.fromkeys(call["name"] for call in recording.expect["tool_calls"])):
        asked["tools"] = [
            {"type": "function", "function": {"name": name, "parameters": _ANYTHING}}
            for name in names
        ]
    return asked
