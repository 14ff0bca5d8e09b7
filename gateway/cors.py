"""Cross-origin requests from browsers: off unless origins are named."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import hdrs

from gateway.answer import lines
from gateway.exchange import Exchange
from gateway.limit_headers import LIMIT_HEADERS
from gateway.whole_answer import WholeAnswer

_METHODS = "GET, POST, OPTIONS"
_MAX_AGE = "600"
_EXPOSED = ", ".join(
    (
        "x-request-id",
        "x-llmbase-requested-model",
        "x-llmbase-served-model",
        "x-llmbase-fallback-applied",
        "x-llmbase-fallback-reason",
        "x-llmbase-fallback-chain",
        "x-llmbase-provider",
        "x-llmbase-attempts",
        "x-llmbase-ignored-parameters",
        "x-llmbase-idempotent-replay",
        "retry-after",
        *LIMIT_HEADERS,
    )
)


class Cors:
    """Which origins may read answers; `*` among them is any. Credentials are never needed."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)
        self._any = "*" in self._origins
        self.enabled = bool(self._origins)

    def preflight(self, exchange: Exchange) -> WholeAnswer | None:
        """Return the answer to OPTIONS that are a browser's question before its request."""
        if not self.enabled or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in exchange.headers:
            return None
        headers = {}
        if self._allowed(exchange):
            asked = exchange.headers.get("Access-Control-Request-Headers", "")
            fit = asked.replace("\t", " ").isprintable()
            headers["Access-Control-Allow-Methods"] = _METHODS
            headers["Access-Control-Allow-Headers"] = (fit and asked) or "*"
            headers["Access-Control-Max-Age"] = _MAX_AGE
        return WholeAnswer(exchange, b"", 204, lines(headers))

    def headers(self, exchange: Exchange) -> dict[str, str]:
        """Return what every answer to the request says."""
        headers = {} if self._any else {"Vary": "Origin"}
        if self._allowed(exchange):
            headers["Access-Control-Allow-Origin"] = (
                "*" if self._any else exchange.headers["Origin"]
            )
            headers["Access-Control-Expose-Headers"] = _EXPOSED
        return headers

    def _allowed(self, exchange: Exchange) -> bool:
        origin = exchange.headers.get("Origin")
        return origin is not None and (self._any or origin in self._origins)
