"""What the service's log says of a call, and waiting for something to become true."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.support.deployments import Deployment

_INTERVAL = 0.005  # seconds


class CallLog:
    """The lines in which a service says how calls ended, one for each."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.ids: list[str] = []

    def named(self) -> dict[str, str]:
        """Headers for one more call, by which its lines will be known."""
        self.ids.append(uuid.uuid4().hex)
        return {"x-request-id": self.ids[-1]}

    async def settled(self) -> float:
        """Wait for the line of the call that was named last; returns when it was there."""
        return await until(lambda: bool(self._lines(self.ids[-1])))

    def outcomes(self) -> set[tuple[str, ...]]:
        """The ways in which the calls that were named ended; a call ends once, if it was one."""
        return {tuple(line["outcome"] for line in self._lines(id_)) for id_ in self.ids}

    def _lines(self, request_id: str) -> list[dict[str, Any]]:
        lines = [json.loads(it) for it in self._deployment.log.splitlines() if request_id in it]
        return [line for line in lines if line["logger"] == "llmbase.rpc"]


async def until(holds: Callable[[], bool], timeout: float = 10.0) -> float:
    """Ask again and again; returns when it was so. Raises TimeoutError after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while True:
            if holds():
                return time.monotonic()
            await asyncio.sleep(_INTERVAL)
