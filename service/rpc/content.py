"""What was asked and answered, as spans have it where the configuration wants it: redacted, cut.

Nothing of it is made, or looked at, where it does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol

from llmbase.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    FinishReason,
    Message,
    Role,
    RouteFacts,
    Usage,
)

from telemetry import spans
from telemetry.redaction import Redaction
from telemetry.tracing import Span

_MOST = 16_384  # characters of texts in one value; of a long conversation the newest are told
_REASONING, _REFUSAL, _TEXT, _ARGUMENTS = "reasoning", "refusal", "text", "arguments"


class Content:
    """Tells one span what its call is about. `secrets` are known: the caller's key, providers'."""

    def __init__(self, span: Span, secrets: Iterable[str]) -> None:
        self._span = span
        self._redaction = Redaction(secrets)

    def asked(self, request: ChatCompletionRequest) -> None:
        """Tell the messages of a request."""
        room = _Room(self._redaction)
        told: list[dict[str, Any]] = []
        for message in reversed(request.messages):
            if room.left <= 0:
                break
            told.append({"role": _role(message.role), "parts": _parts(message, room)})
        self._span.set(spans.INPUT, _json(told[::-1]))

    def answered(self, completion: ChatCompletion) -> None:
        """Tell a whole answer."""
        room = _Room(self._redaction)
        told = [
            {
                "role": "assistant",
                "parts": _parts(choice.message, room),
                "finish_reason": _reason(choice.finish_reason),
            }
            for choice in completion.choices
        ]
        self._span.set(spans.OUTPUT, _json(told))

    def streamed(self, choices: dict[int, Choice]) -> None:
        """Tell what came of a stream."""
        room = _Room(self._redaction)
        told = []
        for _, choice in sorted(choices.items()):
            parts = [
                {"type": kind, "content": room.take("".join(pieces))}
                for kind, pieces in choice.texts.items()
            ]
            told.append(
                {"role": "assistant", "parts": parts, "finish_reason": _reason(choice.reason)}
            )
        self._span.set(spans.OUTPUT, _json(told))


class Choice:
    """What has come of one choice."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.reason = FinishReason.FINISH_REASON_UNSPECIFIED
        self._room = 2 * _MOST  # characters: what is told, and what may be taken out of it

    def add(self, kind: str, text: str) -> None:
        """Remember a piece, unless there is more than will be told."""
        if text and self._room > 0:
            self._room -= len(text)
            self.texts.setdefault(kind, []).append(text)


class Answer(Protocol):
    """See `rpc.answers.StreamedAnswer`."""

    @property
    def route(self) -> RouteFacts: ...  # noqa: D102

    @property
    def usage(self) -> Usage | None: ...  # noqa: D102

    async def read(self) -> ChatCompletionChunk | None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class RecordedAnswer:
    """A streamed answer that is told when it is closed, as far as it came."""

    def __init__(self, answer: Answer, content: Content) -> None:
        self._answer = answer
        self._content = content
        self._choices: dict[int, Choice] = {}
        self.route = answer.route

    @property
    def usage(self) -> Usage | None:
        """What has been used so far."""
        return self._answer.usage

    async def read(self) -> ChatCompletionChunk | None:
        """Return the next chunk, None after the last. Raises as the answer does."""
        chunk = await self._answer.read()
        if chunk is not None:
            for delta in chunk.choices:
                choice = self._choices.setdefault(delta.index, Choice())
                choice.add(_REASONING, delta.reasoning_content)
                choice.add(_TEXT, delta.content)
                choice.add(_REFUSAL, delta.refusal)
                for call in delta.tool_calls:
                    choice.add(_ARGUMENTS, call.name)
                    choice.add(_ARGUMENTS, call.arguments)
                choice.reason = delta.finish_reason or choice.reason
        return chunk

    def close(self) -> None:
        """Tell what came, and give the answer up."""
        self._content.streamed(self._choices)
        self._answer.close()


class _Room:
    """How much may still be told."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self.left = _MOST

    def take(self, text: str) -> str:
        told = self._redaction.redact(text, max(self.left, 0))
        self.left -= len(told)
        return told


def _parts(message: Message, room: _Room) -> list[dict[str, str]]:
    """Return a message's parts, in the conventions' form. Images are named, not told."""
    parts: list[dict[str, str]] = []
    if message.tool_call_id:
        text = "".join(part.text for part in message.content)
        return [
            {
                "type": "tool_call_response",
                "id": room.take(message.tool_call_id),
                "result": room.take(text),
            }
        ]
    if message.reasoning_content:
        parts.append({"type": _REASONING, "content": room.take(message.reasoning_content)})
    for part in message.content:
        if part.WhichOneof("part") == "text":
            parts.append({"type": _TEXT, "content": room.take(part.text)})
        else:
            parts.append({"type": "blob", "modality": "image"})
    if message.refusal:
        parts.append({"type": _REFUSAL, "content": room.take(message.refusal)})
    parts.extend(
        {
            "type": "tool_call",
            "id": room.take(call.id),
            "name": room.take(call.name),
            _ARGUMENTS: room.take(call.arguments),
        }
        for call in message.tool_calls
    )
    return parts


def _role(role: Role.ValueType) -> str:
    return Role.Name(role).removeprefix("ROLE_").lower()


def _reason(reason: FinishReason.ValueType) -> str:
    return FinishReason.Name(reason).removeprefix("FINISH_REASON_").lower()


def _json(told: list[dict[str, Any]]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
