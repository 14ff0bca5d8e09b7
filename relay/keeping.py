"""Keeps one stream open: opens another when it is lost, and leaves alone who knows no relay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc

from relay.client_session import ClientSession, Stream

_LOG = logging.getLogger("llmbase.relay")
_FIRST_PAUSE: Final = 0.1  # seconds; doubled while streams end before they carry anything
_LONGEST_PAUSE: Final = 2.0
_OLD_SERVICE: Final = 60.0  # until a service that knows no relay is asked again: it may be new then


class OpenStream(Stream, Protocol):
    """A stream that can be given up."""

    def cancel(self) -> Any: ...  # noqa: D102


class Keeper:
    """`connect` opens a stream, which may wait for a connection; `new_session` is what uses it."""

    def __init__(
        self, connect: Callable[[], OpenStream], new_session: Callable[[], ClientSession]
    ) -> None:
        self._connect = connect
        self._new_session = new_session
        self._pause = _FIRST_PAUSE
        self.session = new_session()

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            stream = self._connect()
            try:
                await self.session.run(stream)
                self._over(None)
            except grpc.aio.AioRpcError as error:
                self._over(error.code())
            except Exception:  # what came was no relay's: calls go on without it
                _LOG.exception("relay failed")
                self._pause = _LONGEST_PAUSE
            finally:
                stream.cancel()
                self.session = self._new_session()
            await asyncio.sleep(self._pause)

    def _over(self, code: grpc.StatusCode | None) -> None:
        if code is grpc.StatusCode.UNIMPLEMENTED:
            _LOG.info("no relay: every call is a gRPC call of its own")
            self._pause = _OLD_SERVICE
        elif self.session.welcomed.is_set():
            _LOG.info("relay over", extra={"code": "OK" if code is None else code.name})
            self._pause = _FIRST_PAUSE
        else:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
