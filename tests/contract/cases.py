"""The requests on which all doors must agree: what is asked, what is answered, how it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.asking import HELLO, hello
from tests.support.openai_wire import (
    DONE,
    USAGE,
    Answer,
    Call,
    Said,
    encode,
    error_body,
    event,
    refuses,
    says,
    stream,
    unary,
)
from tests.support.scripts import Framing, Plan, Request, Script, cut, raw

MODEL = "test/one"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
OTHER_TOOL = {"type": "function", "function": {"name": "time.now", "description": "The time"}}
ASKED_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"a": 1}'},
}
PLAIN = says("Hel", "lo")
UNICODE = "naïve 漢字 \U0001f600 e\u0301 \u202e\u200b\ufeff \x00\x1f\x7f \u2028 \\u0041 \"'\r\n\t"


@dataclass(frozen=True)
class Case:
    """A request (fields over a plain one), the provider's plan, and the HTTP status that follows.

    `plan` None means that the provider must not be asked at all.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    plan: Plan | None = PLAIN
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    when_streamed: Mapping[str, Any] = field(default_factory=dict)
    shapes: tuple[bool, ...] = (False, True)  # streamed or not

    def body(self, *, streamed: bool) -> dict[str, Any]:
        more = self.when_streamed if streamed else {}
        return hello(MODEL, stream=streamed) | dict(self.fields) | dict(more)


def all_cases() -> list[Case]:
    """Every case, each under a name of its own."""
    cases = [
        *_fields(),
        *_conversations(),
        *_answers(),
        *_failed_attempts(),
        *_broken_answers(),
        *_refused_requests(),
    ]
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return cases


def _fields() -> Iterator[Case]:
    """Each optional field, at its ends and in between."""
    values: dict[str, list[Any]] = {
        "temperature": [0, 0.7, 2],
        "top_p": [0, 0.25, 1],
        "max_tokens": [1, 2**31 - 1],
        "max_completion_tokens": [7],
        "frequency_penalty": [-2, 0, 2],
        "presence_penalty": [-2.0, 1.5],
        "stop": ["end", ["a", "b", "c", "d"], []],
        "seed": [0, -1, 2**63 - 1],
        "parallel_tool_calls": [True, False],
        "response_format": [
            {"type": "text"},
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
        ],
        "reasoning_effort": ["none", "minimal", "low", "medium", "high", "xhigh", "max"],
        "chat_template_kwargs": [{"enable_thinking": False, "thinking": True}],
        "extra_body.chat_template_kwargs": [{"preserve_thinking": True}],
        "logit_bias": [{"50256": -100, "1": 100}],
        "prompt_cache_key": ["", "prefix-1"],
        "user": ["user-1"],
        "metadata": [{"team": "blue", "k": UNICODE}],
        "service_tier": ["auto"],
        "store": [True],
        "tools": [[], [TOOL], [TOOL, OTHER_TOOL]],
    }
    for name, examples in values.items():
        for i, value in enumerate(examples):
            yield Case(f"{name} {i}", {name: value})
    yield Case("max_completion_tokens wins", {"max_tokens": 5, "max_completion_tokens": 6})
    yield Case("null is absent", dict.fromkeys(values))
    named = {"type": "function", "function": {"name": "weather"}}
    for i, choice in enumerate(["auto", "none", "required", named]):
        yield Case(f"tool_choice {i}", {"tools": [TOOL], "tool_choice": choice})
    for top in (None, 0, 20):
        asked = {"logprobs": True, "top_logprobs": top}
        yield Case(f"top_logprobs={top}", asked, says("Hel", "lo", logprobs=True))


def _conversations() -> Iterator[Case]:
    """What a conversation may hold."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/i.jpg"}}
    inline = {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}
    text = {"type": "text", "text": "What is this?"}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    assistant = {"role": "assistant", "content": None, "tool_calls": [ASKED_CALL]}
    stateful_call = ASKED_CALL | {"provider_state": "AAECAw=="}
    conversations: dict[str, list[dict[str, Any]]] = {
        "system and user": [{"role": "system", "content": "Be brief."}, *HELLO],
        "developer": [{"role": "developer", "content": "Be brief."}, *HELLO],
        "several systems": [{"role": "system", "content": "a"}] * 2 + HELLO,
        "names": [{"role": "user", "name": "ann", "content": "Hello"}],
        "text parts": [{"role": "user", "content": [text, text]}],
        "an image": [{"role": "user", "content": [text, image]}],
        "an inline image": [{"role": "user", "content": [{**image, "image_url": inline}]}],
        "a tool's result": [*HELLO, assistant, result],
        "a tool's result in parts": [*HELLO, assistant, result | {"content": [text]}],
        "text beside tool calls": [*HELLO, assistant | {"content": "Let me see."}, result],
        "provider state": [
            *HELLO,
            {**assistant, "tool_calls": [stateful_call], "provider_state": "/+8="},
            result,
        ],
        "reasoning handed back": [
            *HELLO,
            {"role": "assistant", "content": "Hi", "reasoning_content": "They greet me."},
            *HELLO,
        ],
        "a refusal handed back": [
            *HELLO,
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            *HELLO,
        ],
        "unicode": [{"role": "user", "content": UNICODE}],
        "an empty string": [{"role": "user", "content": ""}],
        "a megabyte": [{"role": "user", "content": "é" * 500_000}],
        "a thousand turns": [HELLO[0], {"role": "assistant", "content": "Hi"}] * 500 + HELLO,
    }
    for name, messages in conversations.items():
        yield Case(name, {"messages": messages})


def _answers() -> Iterator[Case]:
    """What a provider may say."""
    call, other = Call("c1", "weather", ['{"a"', ": 1}"]), Call("c2", "time.now", ["{", "}"])
    details = {
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    two = Answer([Said(["a", "b"]), Said(["c"], finish="length")], USAGE)
    with_tools = {"tools": [TOOL, OTHER_TOOL]}
    yield Case("many pieces", plan=says(*(f"{i} " for i in range(300))))
    yield Case("unicode answered", plan=says(*UNICODE))
    yield Case("nothing said", plan=says())
    yield Case("reasoning", plan=says("So", reasoning=["I ", "think"]))
    yield Case("reasoning alone", plan=says(reasoning=["I ", "think"], finish="length"))
    yield Case("a refusal", plan=says(refusal=["I ", "cannot"]))
    yield Case("a tool call", with_tools, says(calls=[call]))
    yield Case("parallel tool calls", with_tools, says(calls=[call, other]))
    yield Case("text and tool calls", with_tools, says("Let me see.", calls=[call, other]))
    yield Case("tool call without arguments", with_tools, says(calls=[Call("c", "time.now", [])]))
    yield Case("arguments that are no JSON", with_tools, says(calls=[Call("c", "weather", ["{x"])]))
    yield Case("a call ended by stop", with_tools, says(calls=[call], finish="stop"))
    yield Case("two choices", {"n": 2}, two)
    yield Case("usage details", plan=says("Hi", usage=USAGE | details))
    yield Case("no usage", plan=says("Hello there", usage=None))
    yield Case("a fingerprint", plan=says("Hi", fingerprint="fp_1"))
    for word in ("length", "content_filter", "eos", "function_call", "model_length", "end_turn"):
        yield Case(f"finish {word}", plan=says("Hi", finish=word))
    yield Case("unknown fields", {"no_such_field": 1, "top_k": {"a": [1]}})
    for wanted in (True, False):
        options = {"stream_options": {"include_usage": wanted}}
        yield Case(f"include_usage {wanted}", when_streamed=options)


def _failed_attempts() -> Iterator[Case]:
    """A lone target that fails before it has said anything."""
    for status in (400, 413, 422):
        yield Case(f"provider {status}", plan=refuses(status, f"no {status}"), status=400)
    for status in (401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 504, 529, 302):
        yield Case(f"provider {status}", plan=refuses(status), status=502)
    yield Case("provider 204", plan=Script(status=204, framing=Framing.CLOSE), status=502)
    wait = refuses(429, Retry_After="7")
    yield Case("provider 429, retry after", plan=wait, status=502)
    html = unary(b"<html><body>Bad gateway</body></html>", 200, {"Content-Type": "text/html"})
    yield Case("HTML", plan=html, status=502)
    yield Case("not HTTP", plan=raw(b"\x00\xff\x00\xffgarbage\r\n\r\n"), status=502)
    yield Case("closed at once", plan=raw(), status=502)
    yield Case("empty", plan=unary(b""), status=502)
    yield Case("null", plan=unary(b"null"), status=502)
    yield Case("error in 200", plan=_error_in_200, status=502)
    yield Case("refused in 200", plan=_refused_in_200, status=400)
    yield Case("nobody listens", {"model": "test/dead"}, None, 502)


def _error_in_200(request: Request) -> Script:
    error = error_body("overloaded", "overloaded_error", 503)
    return stream(event(error), DONE) if request.streamed else unary(encode(error))


def _refused_in_200(request: Request) -> Script:
    error = error_body("too long", "invalid_request_error", 400)
    return stream(event(error), DONE) if request.streamed else unary(encode(error))


def _broken_answers() -> Iterator[Case]:
    """Streams that go wrong, or only look so, after their first content."""
    role, hel, lo, finish, usage, done = says("Hel", "lo").events()
    endings: dict[str, tuple[list[Any], int]] = {
        "cut after content": ([role, hel, cut], 502),
        "ended after content": ([role, hel], 502),
        "error after content": ([role, hel, event(error_body("boom"))], 502),
        "garbage after content": ([role, hel, b"data: {not json\n\n"], 502),
        "an array after content": ([role, hel, b"data: [1]\n\n", lo, finish, done], 502),
        "no [DONE]": ([role, hel, lo, finish, usage], 200),
        "no [DONE], no usage": ([role, hel, lo, finish], 200),
        "no finish word": ([role, hel, lo, done], 200),
        "data after [DONE]": ([role, hel, finish, done, b"data: {oops\n\n"], 200),
    }
    for name, (pieces, status) in endings.items():
        plan = stream(*pieces, framing=Framing.CLOSE)
        yield Case(name, plan=plan, status=status, shapes=(True,))


def _refused_requests() -> Iterator[Case]:
    """Requests that no provider must ever see."""
    user, assistant = {"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}
    function = {"type": "function", "function": {"name": "weather"}}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/i.jpg"}}
    fields: dict[str, list[Any]] = {
        "model": [""],
        "temperature": [-0.01, 2.01],
        "top_p": [-0.1, 1.1],
        "max_tokens": [0, -1],
        "frequency_penalty": [-2.1, 2.1],
        "presence_penalty": [-2.1, 2.1],
        "stop": [["a", "b", "c", "d", "e"], [""]],
        "n": [0, 9],
        "top_logprobs": [5],
        "logit_bias": [{"x": 1}, {"1": 101}],
        "metadata": [{f"k{i}": "v" for i in range(17)}, {"k": "v" * 513}, {"k" * 65: "v"}],
        "tool_choice": ["required", function],
        "tools": [[function, function], [{"type": "function", "function": {"name": "a b"}}]],
        "messages": [
            [],
            [{"role": "user"}],
            [{"role": "user", "content": []}],
            [user, {"role": "tool", "content": "x"}],
            [user, {"role": "user", "content": "x", "tool_call_id": "c"}],
            [user, {"role": "assistant", "content": None}],
            [user, {"role": "assistant", "tool_calls": [ASKED_CALL, ASKED_CALL]}],
            [{"role": "system", "content": [image]}],
            [{"role": "user", "content": [{**image, "image_url": {"url": "file:///etc"}}]}],
            [assistant | {"content": [{"type": "refusal", "refusal": "no"}]} | {"role": "user"}],
        ],
        "response_format": [{"type": "json_schema", "json_schema": {"name": "a b"}}],
    }
    for name, values in fields.items():
        for i, value in enumerate(values):
            yield Case(f"refused: {name} {i}", {name: value}, None, 400)
    plain = {"model": "test/plain"}
    gated: dict[str, Any] = {
        "tools": [TOOL],
        "response_format": {"type": "json_object"},
        "logprobs": True,
        "reasoning_effort": "low",
        "messages": [{"role": "user", "content": [image]}],
    }
    for name, value in gated.items():
        yield Case(f"not advertised: {name}", plain | {name: value}, None, 400)
    yield Case("unknown model", {"model": "unknown/model"}, None, 404)
    bad = {"Authorization": "Bearer llmbase_nobody-has-this-key-0123456789"}
    yield Case("unknown key", plan=None, status=401, headers=bad)
