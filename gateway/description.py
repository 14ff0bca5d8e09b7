"""GET /openapi.json: the description of this door, for everybody."""

from __future__ import annotations

import orjson
from aiohttp import web

from gateway.exchange import Exchange
from gateway.openapi.document import document


class Description:
    """The handler. The document is made once."""

    def __init__(self) -> None:
        self._body = orjson.dumps(document())

    async def get(self, exchange: Exchange) -> web.Response:
        """Return the OpenAPI document."""
        return web.Response(body=self._body, content_type="application/json")
