"""The door's paths: what is where, and what is said where nothing is."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from aiohttp import HttpVersion11

from gateway import errors
from gateway.answer import Answer
from gateway.exchange import Exchange, say_continue, waits_with_body
from gateway.unsupported import unknown_path

# The end of a path that takes all that follows, slashes and all.
_REST = "{id}"


async def meet(exchange: Exchange) -> None:
    """Tell a client that waits with its body to send it. Raises HttpError for another `Expect`."""
    if exchange.version != HttpVersion11:
        return
    if not waits_with_body(exchange):
        raise errors.http_error(417, "The only Expect that is met is 100-continue.")
    await say_continue(exchange)


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a method at a path, and before that a request's `Expect`.

    `path` is what the log and metrics call it; it is empty where nothing is.
    """

    method: str
    path: str
    handler: Callable[[Exchange], Awaitable[Answer]]
    expect: Callable[[Exchange], Awaitable[None]] = meet


class Routes:
    """All of them. Who may GET may ask for the HEAD alone."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)
        self._nowhere = Route("", "", self._refuse)
        self._plain: dict[str, dict[str, Route]] = {}
        self._open: dict[re.Pattern[str], dict[str, Route]] = {}
        for route in self._routes:
            start = route.path.removesuffix(_REST)
            if start == route.path:
                methods = self._plain.setdefault(start, {})
            else:
                methods = self._open.setdefault(re.compile(re.escape(start) + "(.+)"), {})
            methods[route.method] = route
            if route.method == "GET":
                methods["HEAD"] = route

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def find(self, exchange: Exchange) -> Route:
        """Return what answers; the exchange is told the `rest` of an open path."""
        methods = self._plain.get(exchange.raw_path) or self._at(exchange)
        return methods.get(exchange.method) or self._nowhere

    async def _refuse(self, exchange: Exchange) -> Answer:
        if not (methods := self._at(exchange)):
            raise errors.unknown_url(unknown_path(exchange.method, exchange.path))
        raise errors.method_not_allowed(exchange.method, sorted(methods))

    def _at(self, exchange: Exchange) -> dict[str, Route]:
        """Return what is at a path, however it is written: with a query, escapes or a host."""
        path = exchange.rel_url.path_safe  # in which an escaped slash divides nothing
        for pattern, methods in self._open.items():
            if found := pattern.fullmatch(path):
                exchange.rest = found[1].replace("%2F", "/").replace("%25", "%")
                return methods
        return self._plain.get(path, {})
