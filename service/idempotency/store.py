"""The answers that can be asked for again: by whom, for how long, how many bytes of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import NamedTuple

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from service.config import IdempotencyConfig
from service.errors import IdempotencyKeyReused, StreamNotResumable
from service.idempotency.record import Record

_OVERHEAD = 4096  # bytes that a record takes beside its items, roughly


class Scope(NamedTuple):
    """Whose answer it is: of a caller, by name, and a key of its own choice.

    Without a key it is an answer that only identical requests share, while it is running.
    """

    caller: str
    key: str
    fingerprint: bytes = b""


def fingerprint(method: str, request: ChatCompletionRequest) -> bytes:
    """Return a digest of all that makes two requests the same."""
    bare = ChatCompletionRequest()
    bare.CopyFrom(request)
    bare.ClearField("idempotency_key")
    bare.ClearField("last_chunk_sequence")
    body = bare.SerializeToString(deterministic=True)
    return hashlib.sha256(method.encode() + b"\0" + body).digest()


class _Entry(NamedTuple):
    record: Record
    fingerprint: bytes


class Store:
    """Records by scope. Those that failed are forgotten at once: asking again is a new call."""

    def __init__(self, config: IdempotencyConfig) -> None:
        self._config = config
        self._entries: dict[Scope, _Entry] = {}
        self._running: set[Record] = set()
        self._expiries: OrderedDict[Scope, asyncio.TimerHandle] = OrderedDict()  # of what has ended
        self._draining = False
        self.size = 0  # bytes of what has ended, and is kept

    def __len__(self) -> int:
        return len(self._entries)

    def configure(self, config: IdempotencyConfig) -> None:
        """Keep to other bounds from now on."""
        self._config = config
        self._make_room()

    def find(self, scope: Scope, fingerprint: bytes) -> Record | None:
        """Return the record of an earlier call, if there is one.

        Raises IdempotencyKeyReused: the key was of another request.
        """
        entry = self._entries.get(scope)
        if entry is None or entry.record.stopping:
            return None
        if entry.fingerprint != fingerprint:
            raise IdempotencyKeyReused(
                "idempotency_key", "belongs to another request: use a new key for each"
            )
        return entry.record

    def begin(self, scope: Scope, fingerprint: bytes) -> Record:
        """Return a new record of a call that is about to begin."""
        window = self._config.resume_window if scope.key and not self._draining else 0.0

        def over(record: Record) -> None:
            self._end(scope, record)

        record = Record(self._config.max_answer_bytes, window, over)
        self._entries[scope] = _Entry(record, fingerprint)
        self._running.add(record)
        return record

    def drain(self) -> None:
        """Wait for no caller to be back."""
        self._draining = True
        for record in tuple(self._running):
            record.abandon()

    async def close(self) -> None:
        """End what is running, and forget everything."""
        running = tuple(self._running)
        for record in running:
            record.stop()
        for record in running:
            await record.ended()
        for expiry in self._expiries.values():
            expiry.cancel()
        self._expiries.clear()
        self._entries.clear()
        self.size = 0

    def _end(self, scope: Scope, record: Record) -> None:
        self._running.discard(record)
        if self._entries[scope].record is not record:
            return  # it was given up, and the call has been begun anew
        if record.failed or not scope.key:
            del self._entries[scope]
            return
        loop = asyncio.get_running_loop()
        self._expiries[scope] = loop.call_later(self._config.keep, self._forget, scope)
        self.size += record.size + _OVERHEAD
        self._make_room()

    def _forget(self, scope: Scope) -> None:
        self._expiries.pop(scope).cancel()
        self.size -= self._entries.pop(scope).record.size + _OVERHEAD

    def _make_room(self) -> None:
        """Forget the oldest that have ended; what is running keeps to its own bound."""
        while self.size > self._config.max_bytes and self._expiries:
            self._forget(next(iter(self._expiries)))


def not_kept() -> StreamNotResumable:
    """Return the error of going on with what is not there."""
    return StreamNotResumable(
        "There is no such stream any longer, or there never was: begin anew, with a new "
        "idempotency key or without last_chunk_sequence."
    )
