"""Words that must not be found where they do not belong, and providers that try to spread them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import openai_wire as wire
from tests.support.scripts import Plan, Script, cut, raw, reset, stall

PROMPT = "Kanarienvogel singt 7d1f03"
ANSWER = "Nachtigall antwortet 55ac91"
KEY = "llmbase_canary-of-the-caller-4fD81e0aB27c"
POOR_KEY = "llmbase_canary-without-money-93aC5510fE27"
HASTY_KEY = "llmbase_canary-that-calls-too-often-20bE71fa"
WRONG_KEY = "llmbase_canary-that-nobody-knows-8Ac1902dd7"
PROVIDER_KEY = "sesame-canary-of-ours-61Be77aa90"
STORE_PASSWORD = "canary-of-the-store-5e0d11"

SECRETS = (KEY, POOR_KEY, HASTY_KEY, WRONG_KEY, PROVIDER_KEY, STORE_PASSWORD)
WORDS = (PROMPT, ANSWER)

# What a provider says that has no manners: what it was asked, and by whom.
ECHO = f"cannot answer {PROMPT!r} of key {PROVIDER_KEY} for {KEY}"
_ROLE, _WORD, _FINISH, _USAGE, _DONE = wire.says(ANSWER).events()
ROLE_AND_WORD = (_ROLE, _WORD)
_NO_HTTP = f"Not HTTP: {ECHO}\r\n\r\n".encode()


def found(text: str | bytes, canaries: tuple[str, ...]) -> list[str]:
    """Which of the canaries are in a text, as they are or as JSON would escape them."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return [canary for canary in canaries if canary in plain]


@dataclass(frozen=True)
class Case:
    """A call, and what the provider does with it."""

    name: str
    plan: Plan | None = None
    model: str = "test/one"
    key: str | None = KEY
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None  # what the caller's error is called, where both shapes agree


def _refusal(status: int) -> Case:
    return Case(f"HTTP status {status}", wire.refuses(status, ECHO))


def _both(
    name: str, *events: bytes | Callable[..., Any], body: bytes | None = None, **more: Any
) -> Case:
    """A case whose stream is these events; asked for a whole answer the provider gives `body`."""
    whole = wire.unary(
        body if body is not None else b"".join(it for it in events if isinstance(it, bytes))
    )
    streamed = wire.stream(*events)

    def plan(request: Any) -> Script:
        return streamed if request.streamed else whole

    return Case(name, plan, **more)


_ERROR = wire.encode(wire.error_body(ECHO, "server_error", ECHO))
_ODD = {"id": ECHO, "object": ECHO, "choices": ECHO, "usage": {"prompt_tokens": ECHO}}
_CUT = wire.says(ANSWER).body()[:-20]
_STRANGE = wire.says(ANSWER, finish=PROVIDER_KEY)

CASES = (
    Case("an answer that repeats the question", wire.echoes),
    *(_refusal(it) for it in (400, 401, 403, 404, 408, 413, 418, 422, 429, 500, 503)),
    Case("an error page", Script([f"<html>{ECHO}".encode()], 502, {"Content-Type": "text/html"})),
    Case("a redirection", Script([], 302, {"Location": f"http://127.0.0.1:1/{PROVIDER_KEY}"})),
    _both("an error before the answer", b"data: " + _ERROR + b"\n\n", body=_ERROR),
    _both("an error in the answer", _ROLE, _WORD, b"data: " + _ERROR + b"\n\n", body=_ERROR),
    _both("an answer that is cut", _ROLE, _WORD, cut, body=_CUT),
    _both("an answer that is reset", _ROLE, _WORD, reset, body=_CUT),
    _both("no JSON", _ROLE, _WORD, f"data: {{{ECHO}\n\n".encode(), body=ECHO.encode()),
    _both("odd JSON", wire.event(_ODD), body=wire.encode(_ODD)),
    _both("deep JSON", b"data: " + b"[" * 90_000 + b"\n\n", body=b'{"choices":' + b"[" * 90_000),
    _both(
        "no UTF-8", _ROLE, b"data: \xff\xfe" + ECHO.encode() + b"\n\n", body=b"\xff" + ECHO.encode()
    ),
    _both("an event of no name", f"event: {PROVIDER_KEY}\n".encode() + _WORD, _FINISH, _DONE),
    Case("a finish reason that is none", _STRANGE),
    Case("no HTTP", raw(_NO_HTTP)),
    Case("a header that is none", raw(f"HTTP/1.1 200 OK\r\n{ECHO}\r\n\r\n".encode())),
    Case("nothing in time", Script(before=[stall]), headers={"X-Request-Timeout": "0.3"}),
    Case("too slow a provider", Script(before=[stall]), model="test/hasty"),
    _both("a provider that stalls", _ROLE, _WORD, stall, model="test/brisk", body=b""),
    Case("nobody there", model="test/dead"),
    Case("no proxy", model="test/proxied"),
    Case("an address that is none", model="test/odd"),
    Case("a wrong key", key=WRONG_KEY, code="invalid_api_key"),
    Case("no key", key=None, code="missing_api_key"),
    Case("no money", key=POOR_KEY, code="insufficient_balance"),
    Case("too many calls", wire.says(ANSWER), key=HASTY_KEY),
    Case("too many calls, again", wire.says(ANSWER), key=HASTY_KEY, code="rate_limit_exceeded"),
    Case("an unknown model", model="no/such", code="model_not_found"),
    Case("a field out of range", body={"temperature": 9}),
    Case("too many stops", body={"stop": [PROMPT] * 5}),
    Case("a feature that is not there", model="test/plain", body={"logprobs": True}),
    Case("an idempotency key", wire.says(ANSWER), body={"user": PROMPT, "metadata": {"a": PROMPT}}),
)

# Bodies and heads that only HTTP can carry; none reaches a provider.
BROKEN = (
    f'{{"model": "test/one", "messages": "{PROMPT}"}}',
    f'{{"model": "test/one", "messages": [{{"role": "user", "content": "{PROMPT}"',
    f'{{"model": "test/one", "messages": [{{"role": "{PROMPT}", "content": "x"}}]}}',
    f'{{"model": "test/one", "{PROMPT}": 1, "messages": [{{"role": "user", "content": 7}}]}}',
    PROMPT,
    f'{{"a": {"[" * 200}"{PROMPT}"',
)
_END = "Host: h\r\nConnection: close\r\n"
HEADS = (
    f"GET /v1/{PROMPT.replace(' ', '%20')}?api_key={KEY} HTTP/1.1\r\n{_END}\r\n",
    f"GET /v1/models?api_key={KEY} HTTP/1.1\r\n{_END}Authorization: {KEY}\r\n\r\n",
    f"POST /v1/models HTTP/1.1\r\n{_END}Authorization: Bearer {KEY}\r\n\r\n",
    f"GET /v1/models HTTP/1.1\r\n{_END}Authorization Bearer {KEY}\r\n\r\n",
    f"{KEY} {PROMPT}\r\n\r\n",
    f"GET /v1/models HTTP/1.1\r\n{_END}X-Long: {KEY * 400}\r\n\r\n",
    f"GET /v1/models HTTP/9.9\r\n{_END}Authorization: Bearer {KEY}\r\n\r\n",
)
