"""What an OpenAI-compatible provider sends: whole answers, streams and errors, as bytes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.scripts import Framing, Piece, Request, Script

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
DONE = b"data: [DONE]\n\n"
_FACTS = {"id": "provider-1", "created": 1_700_000_000, "model": "provider-model"}


@dataclass(frozen=True)
class Call:
    """A tool call; its arguments in the pieces in which a stream brings them."""

    id: str
    name: str
    arguments: Sequence[str] = ("{}",)

    def whole(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {"id": self.id, "type": "function", "function": function}

    def deltas(self, index: int) -> Iterator[dict[str, Any]]:
        start = {"name": self.name, "arguments": ""}
        yield {"index": index, "id": self.id, "type": "function", "function": start}
        for piece in self.arguments:
            yield {"index": index, "function": {"arguments": piece}}


@dataclass(frozen=True)
class Said:
    """What one choice says."""

    texts: Sequence[str] = ()
    reasoning: Sequence[str] = ()
    refusal: Sequence[str] = ()
    calls: Sequence[Call] = ()
    finish: str | None = "stop"
    logprobs: bool = False

    def whole(self, index: int) -> dict[str, Any]:
        """The choice of a whole answer."""
        message: dict[str, Any] = {"role": "assistant"}
        message["content"] = "".join(self.texts) if self.texts else None
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.refusal:
            message["refusal"] = "".join(self.refusal)
        if self.calls:
            message["tool_calls"] = [call.whole() for call in self.calls]
        choice = {"index": index, "message": message, "finish_reason": self.finish}
        return choice | ({"logprobs": _logprobs(*self.texts)} if self.logprobs else {})

    def deltas(self, index: int) -> Iterator[dict[str, Any]]:
        """The same choice of a stream's chunks, in order; parallel calls come interleaved."""
        yield _choice(index, {"role": "assistant", "content": ""})
        for piece in self.reasoning:
            yield _choice(index, {"reasoning_content": piece})
        for piece in self.texts:
            extra = {"logprobs": _logprobs(piece)} if self.logprobs else {}
            yield _choice(index, {"content": piece}) | extra
        for piece in self.refusal:
            yield _choice(index, {"refusal": piece})
        for delta in _interleaved(call.deltas(i) for i, call in enumerate(self.calls)):
            yield _choice(index, {"tool_calls": [delta]})
        if self.finish is not None:
            yield _choice(index, {}) | {"finish_reason": self.finish}


@dataclass(frozen=True)
class Answer:
    """One answer in both shapes; as a plan it gives the one that the request asks for."""

    choices: Sequence[Said]
    usage: Mapping[str, Any] | None = None
    done: bool = True
    fingerprint: str | None = None

    def __call__(self, request: Request) -> Script:
        return stream(*self.events()) if request.streamed else unary(self.body())

    def body(self) -> bytes:
        """The body of a whole answer."""
        choices = [said.whole(i) for i, said in enumerate(self.choices)]
        answer = _FACTS | {"object": "chat.completion", "choices": choices, "usage": self.usage}
        return encode(answer | {"system_fingerprint": self.fingerprint})

    def events(self) -> list[bytes]:
        """The events of a stream: one delta each, the choices by turns, usage in its own."""
        turns = _interleaved(said.deltas(i) for i, said in enumerate(self.choices))
        events = [self._event([choice]) for choice in turns]
        if self.usage is not None:
            events.append(self._event([], self.usage))
        return [*events, DONE] if self.done else events

    def _event(
        self, choices: Sequence[Mapping[str, Any]], usage: Mapping[str, Any] | None = None
    ) -> bytes:
        chunk = _FACTS | {"object": "chat.completion.chunk", "choices": choices, "usage": usage}
        return event(chunk | {"system_fingerprint": self.fingerprint})


def says(
    *texts: str,
    reasoning: Sequence[str] = (),
    refusal: Sequence[str] = (),
    calls: Sequence[Call] = (),
    finish: str | None = None,
    logprobs: bool = False,
    usage: Mapping[str, Any] | None = USAGE,
    done: bool = True,
    fingerprint: str | None = None,
) -> Answer:
    """An answer with one choice; `finish` is by default what its content calls for."""
    ended = finish or ("tool_calls" if calls else "stop")
    said = Said(texts, reasoning, refusal, calls, ended, logprobs)
    return Answer([said], usage, done, fingerprint)


def echoes(request: Request) -> Script:
    """A plan that says back the last message's text, character for character."""
    content = request.json["messages"][-1]["content"]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    return says(text)(request)


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8, as providers send it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event(payload: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + encode(payload) + b"\n\n"


def unary(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Script:
    """A JSON answer with its length."""
    content_type = {"Content-Type": "application/json"}
    return Script([body], status, content_type | dict(headers or {}), Framing.LENGTH)


def stream(*pieces: Piece, framing: Framing = Framing.CHUNKED) -> Script:
    """An event stream, sent piece by piece."""
    return Script(pieces, headers={"Content-Type": "text/event-stream"}, framing=framing)


def error_body(
    message: str = "it went wrong", type_: str = "server_error", code: str | int | None = None
) -> dict[str, Any]:
    """The error envelope of a provider."""
    return {"error": {"message": message, "type": type_, "code": code, "param": None}}


def refuses(status: int, message: str = "it went wrong", **headers: str) -> Script:
    """An HTTP error; `Retry_After="2"` sets the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return unary(encode(error_body(message)), status, named)


def _choice(index: int, delta: Mapping[str, Any]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": None}


def _logprobs(*tokens: str) -> dict[str, Any]:
    entries = []
    for token in tokens:
        likely: dict[str, Any] = {"token": token, "logprob": -0.25, "bytes": [*token.encode()]}
        other = {"token": "other", "logprob": -1.5, "bytes": None}
        entries.append(likely | {"top_logprobs": [likely, other]})
    return {"content": entries, "refusal": None}


def _interleaved(sources: Iterable[Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for round_ in itertools.zip_longest(*sources):
        yield from (item for item in round_ if item is not None)
