"""Events and finish words that no documentation has: reported, and the answer goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from service.providers.dialects.anthropic import AnthropicDialect
from service.providers.dialects.bedrock import BedrockDialect
from service.providers.dialects.cohere import CohereDialect
from service.providers.dialects.dialect import Dialect
from service.providers.dialects.gemini import GeminiDialect
from service.providers.dialects.ollama import OllamaDialect
from service.providers.dialects.openai import OpenAiDialect
from service.providers.dialects.unknown import OnUnknown, checked, event_word, unheard
from tests.support import event_frames as frames
from tests.unit.service.providers.dialects.reading import fold, read_stream, whole


def _sse(*events: Any, named: bool = False) -> list[bytes]:
    pieces = []
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        pieces.append(f"{name}data: {json.dumps(event)}\n\n".encode())
    return pieces


@dataclass(frozen=True)
class Case:
    """A dialect; a stream's events before and after the unknown one; and its whole answer.

    `{why}` in them is the finish word; `novel` is the event, which calls itself "novelty".
    """

    make: Callable[[OnUnknown], Dialect]
    before: list[bytes]
    novel: bytes
    after: Callable[[str], list[bytes]]
    answer: Callable[[str], Any]
    known: str


def _anthropic_end(why: str) -> list[bytes]:
    usage = {"output_tokens": 1}
    because = {"type": "message_delta", "delta": {"stop_reason": why}, "usage": usage}
    return _sse(because, {"type": "message_stop"}, named=True)


ANTHROPIC = Case(
    lambda told: AnthropicDialect(on_unknown=told),
    _sse(
        {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 1}}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": "Hi"},
        },
        {"type": "content_block_stop", "index": 0},
        named=True,
    ),
    *_sse({"type": "novelty", "index": 7}, named=True),
    _anthropic_end,
    lambda why: {
        "type": "message",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": why,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "end_turn",
)
BEDROCK = Case(
    lambda told: BedrockDialect(on_unknown=told),
    [
        frames.event("messageStart", {"role": "assistant"}),
        frames.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
        frames.event("contentBlockStop", {"contentBlockIndex": 0}),
    ],
    frames.event("novelty", {"index": 7}),
    lambda why: [
        frames.event("messageStop", {"stopReason": why}),
        frames.event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}}),
    ],
    lambda why: {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        "stopReason": why,
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    },
    "end_turn",
)


def _gemini(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}]}


GEMINI = Case(
    lambda told: GeminiDialect(on_unknown=told),
    _sse(_gemini({"text": "Hi"})),
    *_sse({"novelty": {"index": 7}}),
    lambda why: _sse(_gemini(finishReason=why)),
    lambda why: _gemini({"text": "Hi"}, finishReason=why),
    "STOP",
)
VERTEX = Case(
    lambda told: GeminiDialect(vertex=True, project="p", on_unknown=told),
    GEMINI.before,
    GEMINI.novel,
    GEMINI.after,
    GEMINI.answer,
    "STOP",
)
COHERE_USAGE = {"tokens": {"input_tokens": 1, "output_tokens": 1}}
COHERE = Case(
    lambda told: CohereDialect(on_unknown=told),
    _sse(
        {"type": "message-start", "delta": {"message": {"role": "assistant"}}},
        {
            "type": "content-start",
            "index": 0,
            "delta": {"message": {"content": {"type": "text", "text": ""}}},
        },
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
        {"type": "content-end", "index": 0},
    ),
    *_sse({"type": "novelty", "index": 7}),
    lambda why: _sse(
        {"type": "message-end", "delta": {"finish_reason": why, "usage": COHERE_USAGE}}
    ),
    lambda why: {
        "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
        "finish_reason": why,
        "usage": COHERE_USAGE,
    },
    "COMPLETE",
)


def _line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


OLLAMA = Case(
    lambda told: OllamaDialect(on_unknown=told),
    [_line(message={"role": "assistant", "content": "Hi"}, done=False)],
    _line(novelty={"index": 7}),
    lambda why: [
        _line(message={"role": "assistant", "content": ""}, done=True, done_reason=why),
    ],
    lambda why: {
        "message": {"role": "assistant", "content": "Hi"},
        "done": True,
        "done_reason": why,
    },
    "stop",
)


def _chunk(**choice: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}


OPENAI = Case(
    lambda told: OpenAiDialect(on_unknown=told),
    _sse(_chunk(delta={"content": "Hi"}, finish_reason=None)),
    *_sse({"object": "novelty", "index": 7}),
    lambda why: [*_sse(_chunk(delta={}, finish_reason=why)), b"data: [DONE]\n\n"],
    lambda why: {
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": why}
        ],
    },
    "stop",
)
CASES = {
    "anthropic": ANTHROPIC,
    "bedrock": BEDROCK,
    "gemini": GEMINI,
    "vertex": VERTEX,
    "cohere": COHERE,
    "ollama": OLLAMA,
    "openai": OPENAI,
}
every_dialect = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_dialect
def test_an_unknown_event_is_reported_and_passed_over(case: Case) -> None:
    told: list[tuple[str, str]] = []
    pieces = [*case.before, case.novel, *case.after(case.known)]
    said = fold(*read_stream(case.make(lambda *it: told.append(it)), pieces))
    assert told == [("event", "novelty")]
    assert (said[0].text, said[0].finish) == ("Hi", "stop")


@every_dialect
def test_an_unknown_finish_word_is_reported_carried_and_a_stop(case: Case) -> None:
    told: list[tuple[str, str]] = []
    dialect = case.make(lambda *it: told.append(it))
    streamed = fold(*read_stream(dialect, [*case.before, *case.after("novel_reason")]))
    answered = whole(dialect.decode(json.dumps(case.answer("novel_reason")).encode()))
    assert told == [("enum", "novel_reason")] * 2
    for said in (streamed[0], answered[0]):
        assert (said.text, said.finish, said.native) == ("Hi", "stop", "novel_reason")


@every_dialect
def test_nothing_that_is_documented_is_reported(case: Case) -> None:
    told: list[tuple[str, str]] = []
    dialect = case.make(lambda *it: told.append(it))
    read_stream(dialect, [*case.before, *case.after(case.known)])
    dialect.decode(json.dumps(case.answer(case.known)).encode())
    assert told == []


SERVER_SIDE = [
    *("server_tool_use", "mcp_tool_use", "mcp_tool_result", "web_search_tool_result"),
    *("container_upload", "compaction"),
]


@pytest.mark.parametrize("kind", ["novelty", *SERVER_SIDE])
def test_an_unknown_block_of_anthropic_is_reported_and_passed_over(kind: str) -> None:
    told: list[tuple[str, str]] = []
    dialect = ANTHROPIC.make(lambda *it: told.append(it))
    block = {"type": kind, "id": "x"}
    begins = {"type": "content_block_start", "index": 7, "content_block": block}
    pieces = [*ANTHROPIC.before, *_sse(begins, named=True), *ANTHROPIC.after("end_turn")]
    assert fold(*read_stream(dialect, pieces))[0].text == "Hi"
    answer = ANTHROPIC.answer("end_turn")
    answer["content"].append(block)
    assert whole(dialect.decode(json.dumps(answer).encode()))[0].text == "Hi"
    assert told == ([("enum", "novelty")] * 2 if kind == "novelty" else [])


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("named", b'{"type":"t"}', "named"),
        ("", b'{"type":"t","object":"o"}', "t"),
        ("", b'{"object":"o"}', "o"),
        ("", b'{"first":1,"second":2}', "first"),
        ("", b'{"type":17}', "type"),
        ("", b"{}", ""),
        ("", b"[1]", ""),
        ("", b"no json", ""),
    ],
)
def test_an_event_calls_itself_by_its_name_its_type_or_its_first_key(
    name: str, data: bytes, word: str
) -> None:
    assert event_word(name, data) == word


def test_who_is_not_told_anything_is_no_trouble() -> None:
    answer = OpenAiDialect().decode(json.dumps(OPENAI.answer("novel_reason")).encode())
    assert checked(answer, lambda _: False, unheard) is answer
