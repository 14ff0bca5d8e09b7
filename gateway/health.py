"""GET /livez and /readyz: is this process alive, and can it serve?"""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from gateway.drain import Drain
from gateway.exchange import Exchange
from gateway.whole_answer import WholeAnswer

_SERVICE = "llmbase.v1.ChatCompletionService"
# A busy service answers late, and is no less ready for that; one that hangs never does. Probes wait
# a second longer than this.
_TIMEOUT = 3.0


class Health:
    """The handlers. `stub` is a grpc.health.v1 stub on the channel to the service."""

    def __init__(self, stub: Any, drain: Drain) -> None:
        self._stub = stub
        self._drain = drain

    async def live(self, exchange: Exchange) -> WholeAnswer:
        """Answer 200: whoever can answer is alive."""
        return _answer(exchange, 200, "ok")

    async def ready(self, exchange: Exchange) -> WholeAnswer:
        """Answer 200 if new chats would be served, else 503."""
        if not self._drain.closing and await self._serving():
            return _answer(exchange, 200, "ok")
        return _answer(exchange, 503, "unavailable")

    async def _serving(self) -> bool:
        asked = health_pb2.HealthCheckRequest(service=_SERVICE)
        call = self._stub.Check(asked, timeout=_TIMEOUT)
        try:
            answer = await call
        except grpc.aio.AioRpcError:
            return False
        finally:
            call.cancel()
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _answer(exchange: Exchange, status: int, word: str) -> WholeAnswer:
    body = f'{{"status": "{word}"}}'.encode()
    return WholeAnswer(exchange, body, status, kind="application/json; charset=utf-8")
