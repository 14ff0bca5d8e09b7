"""GET /v1/balance: says that accounts are not kept here."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import unknown_url


async def get_balance(request: web.Request) -> web.Response:
    """Raise HttpError: this server keeps no accounts."""
    raise unknown_url("/v1/balance is not enabled on this server.")
