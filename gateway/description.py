"""GET /openapi.json: the description of this door, for everybody."""

from __future__ import annotations

import orjson

from gateway.exchange import Exchange
from gateway.openapi.document import document
from gateway.whole_answer import WholeAnswer


class Description:
    """The handler. The document is made once."""

    def __init__(self) -> None:
        self._body = orjson.dumps(document())

    async def get(self, exchange: Exchange) -> WholeAnswer:
        """Return the OpenAPI document."""
        return WholeAnswer(exchange, self._body)
