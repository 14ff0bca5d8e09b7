"""The form of REST's answers, document by document and event by event, and how they are reduced."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support import answers, failures
from tests.support.answers import Answer, Choice, Failure, Route, ToolCall, Usage

DONE = "[DONE]"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The data of a stream's events."""
        events, rest = split_events(self.body)
        assert not rest, "the stream ends in the middle of an event"
        return events

    @property
    def failure(self) -> Failure:
        """What the error envelope says; it must be one."""
        return read_failure(self.status, self.headers, self.json)


def read_reply(reply: Reply) -> Answer:
    """Reduce a whole HTTP answer, whichever of the two shapes it has."""
    answer = Answer()
    if reply.status != 200:
        answer.failure = reply.failure
    elif reply.headers["Content-Type"].startswith("application/json"):
        read_completion(reply.json, answer)
    else:
        check_stream_headers(reply.headers)
        reader = StreamReader(answer, usage_apart=False)
        for data in reply.events:
            reader.read(data)
        reader.check_over()
    return answer


def read_failure(status: int, headers: Mapping[str, str], envelope: Any) -> Failure:
    """Reduce an error envelope: exactly one key, and in it exactly four."""
    assert list(envelope) == ["error"], envelope
    error = envelope["error"]
    assert set(error) == {"message", "type", "code", "param"}, error
    assert isinstance(error["message"], str) and error["message"]
    wait = headers.get("Retry-After")
    return Failure(
        status,
        error["type"],
        error["code"],
        error["param"],
        error["message"],
        int(wait) if wait is not None else None,
    )


def split_events(stream: bytes) -> tuple[list[str], bytes]:
    """The data of the whole events, and what follows them; only data and comments may be there."""
    *blocks, rest = stream.split(b"\n\n")
    events = []
    for block in blocks:
        said = [line for line in block.decode().split("\n") if not line.startswith((":", "id: "))]
        assert all(line.startswith("data: ") for line in said), block
        if said:
            events.append("\n".join(line.removeprefix("data: ") for line in said))
    return events, rest


class StreamReader:
    """Reads events in order, and holds them to the form that the API promises."""

    def __init__(self, answer: Answer, *, usage_apart: bool) -> None:
        self._answer = answer
        self._usage_apart = usage_apart  # as OpenAI sends it, instead of with the finish reason
        self._origin: tuple[Any, ...] | None = None
        self._opened: set[int] = set()

    def read(self, data: str) -> None:
        answer = self._answer
        assert not answer.complete and answer.failure is None, f"after the end: {data}"
        if data == DONE:
            self._check_end()
            answer.complete = True
            return
        chunk = json.loads(data)
        if "error" in chunk:
            # An event has no status line: what it would be follows from the code.
            status = failures.HTTP_STATUS[chunk["error"]["code"]]
            answer.failure = read_failure(status, {}, chunk)
            return
        self._check_origin(chunk)
        assert answer.usage is None, "usage comes last, and once"
        if chunk.get("usage") is not None:
            answer.usage = _usage(chunk["usage"])
        answer.fingerprint = chunk.get("system_fingerprint") or answer.fingerprint
        for choice in chunk["choices"]:
            self._read_choice(choice)
        if self._usage_apart:
            assert (answer.usage is not None) == (not chunk["choices"])

    def check_over(self) -> None:
        """To be called at the end of the body."""
        ended = self._answer.complete or self._answer.failure is not None
        assert ended, "a stream ends with [DONE] or with an error"

    def _read_choice(self, choice: dict[str, Any]) -> None:
        delta = choice["delta"]
        if choice["index"] not in self._opened:
            self._opened.add(choice["index"])
            assert delta == {"role": "assistant"} and choice["finish_reason"] is None
            return
        assert "role" not in delta, "the role comes first, and once"
        assert (choice["finish_reason"] is not None) == (delta == {}), choice
        self._answer.append(_choice(choice["index"], delta, choice))

    def _check_origin(self, chunk: dict[str, Any]) -> None:
        assert chunk["object"] == "chat.completion.chunk"
        origin = (chunk["id"], chunk["created"], chunk["model"])
        if self._origin is None:
            _check_origin(chunk)
            self._origin, self._answer.model = origin, chunk["model"]
        assert origin == self._origin

    def _check_end(self) -> None:
        assert self._answer.usage is not None
        assert all(choice.finish for choice in self._answer.choices)


def read_completion(body: dict[str, Any], answer: Answer) -> None:
    """Reduce the body of a whole answer."""
    _check_origin(body)
    assert body["object"] == "chat.completion"
    answer.model, answer.complete = body["model"], True
    answer.usage = _usage(body["usage"])
    answer.fingerprint = body.get("system_fingerprint")
    for choice in body["choices"]:
        message = choice["message"]
        assert message["role"] == "assistant"
        assert "content" in message, "content is null where there is none, not absent"
        answer.choices.append(_choice(choice["index"], message, choice))


def _check_origin(answer: Mapping[str, Any]) -> None:
    assert answers.ANSWER_ID.fullmatch(answer["id"]), answer["id"]
    assert abs(answer["created"] - time.time()) < 3600


def check_stream_headers(headers: Mapping[str, str]) -> None:
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Accel-Buffering"] == "no"


def _choice(index: int, said: Mapping[str, Any], choice: Mapping[str, Any]) -> Choice:
    return Choice(
        index,
        text=said.get("content"),
        reasoning=said.get("reasoning_content"),
        refusal=said.get("refusal"),
        calls=[_tool_call(i, call) for i, call in enumerate(said.get("tool_calls", ()))],
        logprobs=_logprobs(choice.get("logprobs")),
        finish=choice["finish_reason"],
        native_finish=choice.get("native_finish_reason"),
        state=base64.b64decode(said.get("provider_state", "")),
    )


def _tool_call(place: int, call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function", {})
    assert call.get("type", "function") == "function"
    return ToolCall(
        call.get("index", place),
        call.get("id", ""),
        function.get("name", ""),
        function.get("arguments", ""),
        base64.b64decode(call.get("provider_state", "")),
    )


def _logprobs(logprobs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if logprobs is None:
        return None
    return {name: logprobs.get(name) or None for name in ("content", "refusal")}


def _usage(usage: Mapping[str, Any]) -> Usage:
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    result = Usage(
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage["total_tokens"],
        prompt.get("cached_tokens", 0),
        prompt.get("cache_write_tokens", 0),
        completion.get("reasoning_tokens", 0),
        usage.get("estimated", False),
    )
    assert result.total == result.prompt + result.completion
    return result


def route(headers: Mapping[str, str]) -> Route | None:
    """What the headers say; None while waiting, when only the requested model is known."""
    if "x-llmbase-served-model" not in headers:
        return None
    chain = headers.get("x-llmbase-fallback-chain", "")
    return Route(
        headers["x-llmbase-requested-model"],
        headers["x-llmbase-served-model"],
        headers["x-llmbase-provider"],
        int(headers["x-llmbase-attempts"]),
        {"true": True, "false": False}[headers["x-llmbase-fallback-applied"]],
        headers.get("x-llmbase-fallback-reason", ""),
        tuple(chain.split(",")) if chain else (),
        headers.get("x-llmbase-idempotent-replay") == "true",
    )
