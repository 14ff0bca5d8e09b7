"""An answer whose body is all there: it leaves with its head in one write."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gateway.answer import Answer, head
from gateway.exchange import Exchange

JSON = "application/json"


class WholeAnswer(Answer):
    """An answer of this `kind`, and with these further `lines` in its head."""

    def __init__(
        self, exchange: Exchange, body: bytes, status: int = 200, lines: str = "", kind: str = JSON
    ) -> None:
        self.status = status
        self.keep_alive = exchange.keep_alive
        self._exchange = exchange
        self._body = body
        self._lines = lines
        self._kind = kind

    def write_eof(self) -> Coroutine[Any, Any, None]:
        """Return what sends it. Raises ConnectionError when the client is gone."""
        exchange, body, told = self._exchange, self._body, self._lines
        if self.status != 204:
            told += f"Content-Type: {self._kind}\r\nContent-Length: {len(body)}\r\n"
        if exchange.method == "HEAD":
            body = b""
        return exchange.writer.write_eof(head(exchange, self, told) + body)
