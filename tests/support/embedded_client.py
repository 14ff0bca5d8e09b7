"""A client of the embedded engine that speaks to it over HTTP, as a provider does."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import psutil

from service.process import models_directory
from service.providers.embedded import EmbeddedEngine

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
STORY = [SYSTEM, {"role": "user", "content": "Tell me a long story about a dragon."}]
CONTEXT = 512  # tokens
DEFAULT_MAX_TOKENS = 40
PARALLEL = 2


def new_engine() -> EmbeddedEngine:
    """An engine of the real model, not started, that takes little of the machine."""
    return EmbeddedEngine(
        models_dir=models_directory(),
        n_threads=1,
        context_length=CONTEXT,
        parallel=PARALLEL,
        max_tokens=DEFAULT_MAX_TOKENS,
    )


def engine_processes(parent: int | None = None) -> list[psutil.Process]:
    """The engines that a process runs; our own by default."""
    children = psutil.Process(parent).children()
    return [child for child in children if "embedded_engine.py" in " ".join(child.cmdline())]


class Client:
    """Asks one engine. To be closed before that is stopped."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self.engine = engine
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(engine.socket), limit=0, force_close=True)
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(self, **fields: Any) -> aiohttp.ClientResponse:
        body = {"messages": STORY, "temperature": 0, **fields}
        return await self._session.post(f"{self.engine.base_url}/chat/completions", json=body)

    async def ask(self, **fields: Any) -> Any:
        """A whole answer's choice, with its usage beside it."""
        async with await self.post(**fields) as response:
            answer = await response.json()
        assert response.status == 200, answer
        return {**answer["choices"][0], "usage": answer["usage"]}

    async def stream(self, **fields: Any) -> list[Any]:
        """The chunks of a stream that must end as it should."""
        async with await self.post(stream=True, **fields) as response:
            events = (await response.text()).strip().split("\n\n")
        assert events[-1] == "data: [DONE]"
        return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]

    async def text(self, **fields: Any) -> str:
        return str((await self.ask(**fields))["message"]["content"])
