"""Opaque state that OpenAI-compatible providers want back: kept as they wrote it, never read.

Three fields are known. `reasoning_details` (OpenRouter) and `reasoning_opaque` (Copilot) belong to
a message; `extra_content` (Google's thought signatures) to a message or to a tool call.

As `provider_state` they are one line of JSON with those fields, in the provider's own text; state
that comes in several pieces is several lines. State that another dialect wrote has none of the
fields and is left out.
"""

from __future__ import annotations

import orjson
from msgspec import Raw, Struct, json

from service.providers.dialects import openai_wire as wire

# Kinds of reasoning detail whose text a stream sends in pieces, and the key that holds it.
_IN_PIECES = {b'"reasoning.text"': "text", b'"reasoning.summary"': "summary"}


class _State(Struct, omit_defaults=True):
    reasoning_details: list[Raw] | None = None
    reasoning_opaque: str | None = None
    extra_content: wire.RawObject | None = None


class StateInPieces:
    """Gathers the state of one streamed message until it can be told whole."""

    def __init__(self) -> None:
        self._details: list[wire.RawObject] = []
        self._texts: list[str] = []  # the pieces of the last detail's text
        self._opaque: str | None = None
        self._extra: wire.RawObject | None = None

    def add(self, message: wire.Message) -> None:
        """Take what a delta, or a whole message, carries. Raises ValueError for garbage."""
        for detail in message.reasoning_details or ():
            self._add_detail(detail)
        if message.reasoning_opaque:
            self._opaque = message.reasoning_opaque
        if message.extra_content:
            self._extra = {**(self._extra or {}), **message.extra_content}

    def take(self) -> bytes:
        """Return what has been gathered since the last time, b"" for nothing."""
        self._close_detail()
        details = [Raw(json.encode(detail)) for detail in self._details]
        line = _line(_State(details or None, self._opaque, self._extra))
        self._details, self._opaque, self._extra = [], None, None
        return line

    def _add_detail(self, detail: wire.RawObject) -> None:
        key = _IN_PIECES.get(_raw(detail, "type"))
        last = self._details[-1] if self._details else None
        if last is None or key is None or not _continues(last, detail):
            self._close_detail()
            self._details.append(last := dict(detail))
        else:
            last.update((k, v) for k, v in detail.items() if bytes(v) != b"null")
        if key in detail:
            self._texts.append(json.decode(detail[key], type=str | None) or "")

    def _close_detail(self) -> None:
        if self._texts and (key := _IN_PIECES.get(_raw(self._details[-1], "type"))):
            self._details[-1][key] = Raw(json.encode("".join(self._texts)))
        self._texts = []


def of_message(message: wire.Message) -> bytes:
    """Return the `provider_state` of a whole message, b"" where it has none."""
    if not (message.reasoning_details or message.reasoning_opaque or message.extra_content):
        return b""
    details = [Raw(json.encode(detail)) for detail in message.reasoning_details or ()]
    opaque, extra = message.reasoning_opaque or None, message.extra_content or None
    return _line(_State(details or None, opaque, extra))


def of_call(call: wire.ToolCall) -> bytes:
    """Return the `provider_state` of a tool call, or of a piece of one, b"" where it has none."""
    return _line(_State(extra_content=call.extra_content)) if call.extra_content else b""


def fields(state: bytes) -> dict[str, object]:
    """Return the JSON fields to send back for a `provider_state`; none if it is not ours."""
    details: list[Raw] = []
    extra: wire.RawObject = {}
    found: dict[str, object] = {}
    try:
        state.decode()  # raw JSON is copied as it is, so it must be UTF-8 throughout
        for line in json.decode(b"[" + b",".join(state.splitlines()) + b"]", type=list[_State]):
            details += line.reasoning_details or ()
            extra |= line.extra_content or {}
            if line.reasoning_opaque:
                found["reasoning_opaque"] = line.reasoning_opaque
    except (ValueError, RecursionError):
        return {}
    if details:
        found["reasoning_details"] = orjson.Fragment(json.encode(details))
    if extra:
        found["extra_content"] = orjson.Fragment(json.encode(extra))
    return found


def _line(state: _State) -> bytes:
    text = json.format(json.encode(state), indent=-1)
    text.decode()  # what cannot be sent back must not be kept
    return b"" if text == b"{}" else text + b"\n"


def _continues(last: wire.RawObject, detail: wire.RawObject) -> bool:
    return all(_raw(last, key) == _raw(detail, key) for key in ("type", "index"))


def _raw(detail: wire.RawObject, key: str) -> bytes:
    return bytes(detail.get(key, b""))
