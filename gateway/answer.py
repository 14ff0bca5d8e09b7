"""What goes back to the client: a head of text, and whatever its kind of answer has for a body.

aiohttp's own responses look at every answer for what ours never has (cookies, compression, a body
that is a file), and at each character of a head for what could end it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion10, HttpVersion11, web

from gateway.exchange import Exchange, requested_line

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Answer:
    """What aiohttp asks of a response, and the front."""

    status: int = 200
    keep_alive: bool  # whether the connection stays open

    def force_close(self) -> None:
        """Have the connection end with this answer."""
        self.keep_alive = False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: who writes the answer writes its head as well."""

    async def write_eof(self) -> None:
        """Send what has not been sent. Raises ConnectionError when the client is gone."""


def head(exchange: Exchange, answer: Answer, told: str) -> bytes:
    """Return an answer's head: what the exchange has for it, and the lines that are `told`."""
    version, line, status = exchange.version, "HTTP/1.1", answer.status
    if version == HttpVersion11:
        if not answer.keep_alive:
            told += "Connection: close\r\n"
    else:
        line = f"HTTP/{version.major}.{version.minor}"
        if answer.keep_alive and version == HttpVersion10:
            told += "Connection: keep-alive\r\n"
    way = exchange.route_lines
    if not way and exchange.model:
        way = requested_line(exchange.model)
    return (
        f"{line} {status} {_REASONS.get(status, '')}\r\n"
        f"{exchange.lines}{way}{told}Date: {_date(int(time.time()))}\r\n\r\n"
    ).encode()


def lines(headers: Mapping[str, str]) -> str:
    """Return headers as a head has them: all names and values must be fit for one."""
    told = ""
    for name, value in headers.items():
        told += f"{name}: {value}\r\n"
    return told


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
