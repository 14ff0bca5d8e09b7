"""What a gateway's answer says to a caller who knows the OpenAI API, and nothing of the gateway."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

DONE = "[DONE]"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer as it came. `broken` says how it failed to end, if it did."""

    status: int
    content_type: str
    body: bytes
    broken: str | None = None


@dataclass
class Call:
    """A tool call, put together."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class Said:
    """One choice, put together."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: dict[int, Call] = field(default_factory=dict)
    finish: str | None = None


@dataclass
class Answer:
    """All that the caller learns. `documents` are (root of the schema, document), in order."""

    status: int
    streamed: bool = False
    choices: dict[int, Said] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False  # a stream said [DONE]
    formless: list[str] = field(default_factory=list)  # what is not in the API's form at all
    documents: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def said_anything(self) -> bool:
        """Whether content of any kind came."""
        return any(s.text or s.reasoning or s.refusal or s.calls for s in self.choices.values())

    @property
    def ended(self) -> bool:
        """Whether a caller would take it for a whole answer."""
        finished = any(said.finish for said in self.choices.values())
        return (
            self.done or finished or (self.status == 200 and not self.streamed and not self.error)
        )


def read(reply: Reply) -> Answer:
    """Read an answer, whatever it is. Raises nothing: what cannot be read is `formless`."""
    answer = Answer(reply.status, streamed=reply.content_type == "text/event-stream")
    if reply.broken:
        answer.formless.append(reply.broken)
    if answer.streamed:
        for data in _events(reply.body, answer):
            _read_event(data, answer)
    elif (document := _json(reply.body, answer)) is not None:
        _read_document(document, answer)
    return answer


def _events(body: bytes, answer: Answer) -> Iterator[str]:
    """The data of the whole events (WHATWG's event stream, of which only `data` is used)."""
    text = re.sub(r"\r\n?", "\n", body.decode("utf-8", "replace"))
    *blocks, rest = text.split("\n\n")
    for block in blocks:
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line[:5] == "data:"]
        if lines:
            yield "\n".join(lines)
    if rest.strip():
        answer.formless.append("the stream ends inside an event")


def _read_event(data: str, answer: Answer) -> None:
    if answer.done or answer.error is not None:
        answer.formless.append("something follows the end of the stream")
    if data == DONE:
        answer.done = True
    elif (document := _json(data, answer)) is not None:
        _read_document(document, answer)


def _read_document(document: dict[str, Any], answer: Answer) -> None:
    root = "chunk" if answer.streamed else "response"
    root = "error" if answer.status != 200 or document.get("error") is not None else root
    answer.documents.append((root, document))
    try:
        if root == "error":
            answer.error = dict(document["error"])
            return
        answer.usage = document.get("usage") or answer.usage
        for choice in document["choices"]:
            said = answer.choices.setdefault(choice["index"], Said())
            _add(choice["delta" if answer.streamed else "message"], said)
            said.finish = choice.get("finish_reason") or said.finish
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        answer.formless.append(f"{root}: {type(error).__name__} {error}")


def _add(message: dict[str, Any], said: Said) -> None:
    said.text += message.get("content") or ""
    # Two names are in use for what OpenAI's API has no name for.
    said.reasoning += message.get("reasoning_content") or message.get("reasoning") or ""
    said.refusal += message.get("refusal") or ""
    for place, piece in enumerate(message.get("tool_calls") or ()):
        call = said.calls.setdefault(piece.get("index", place), Call())
        call.id += piece.get("id") or ""
        call.name += piece.get("function", {}).get("name") or ""
        call.arguments += piece.get("function", {}).get("arguments") or ""


def _json(text: str | bytes, answer: Answer) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    answer.formless.append("not a JSON object where one is due")
    return None
