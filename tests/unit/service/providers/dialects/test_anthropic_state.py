"""Thinking blocks survive the way to the caller and back, unchanged and in their places."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.request import request_from_json
from service.providers.dialects.anthropic import AnthropicDialect
from service.providers.dialects.anthropic_state import Thought, line, thoughts

DIALECT = AnthropicDialect()
USER = {"role": "user", "content": "a"}


def thought(number: int) -> dict[str, Any]:
    # Big numbers, escapes and fields that nobody knows are no reason to change anything.
    return {
        "type": "thinking",
        "thinking": f"hm {number} ü",
        "signature": f"s/{number}+==",
        "more": 2**70,
    }


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def called(number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {"n": number}}


HIDDEN = {"type": "redacted_thinking", "data": "aGlkZGVuIHRob3VnaHRz/+=="}


def handed_back(message: pb.Message) -> dict[str, Any]:
    """The message as a REST caller hands it back."""
    return {
        "role": "assistant",
        "content": "".join(part.text for part in message.content) or None,
        "provider_state": base64.b64encode(message.provider_state).decode(),
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ],
    }


def sent_again(*messages: dict[str, Any]) -> list[Any]:
    body = {"model": "m", "messages": [USER, *messages, USER]}
    request, _, _ = request_from_json(json.dumps(body).encode())
    sent = json.loads(DIALECT.encode(request, "claude-opus-4-8", stream=False).body)
    content: list[Any] = sent["messages"][1]["content"]
    return content


@pytest.mark.parametrize(
    "content",
    [
        [thought(1), called(1)],
        [HIDDEN, thought(1), said("b"), called(1), called(2)],
        [thought(1), said("b ü 𝄞"), thought(2), called(1)],
        [said("b"), thought(1), said("c")],
        [thought(1), called(1), thought(2), called(2)],
        [thought(1), said("\n\n"), thought(2), said("c")],
        [thought(1)],
    ],
    ids=lambda content: "-".join(block["type"] for block in content),
)
def test_what_the_provider_said_goes_back_as_it_was(content: list[dict[str, Any]]) -> None:
    body = json.dumps({"content": content, "stop_reason": "end_turn"}).encode()
    message = DIALECT.decode(body).choices[0].message
    blank = said("\n\n")  # the API does not take it back
    assert sent_again(handed_back(message)) == [block for block in content if block != blank]


def test_thoughts_come_first_even_where_the_text_was_changed() -> None:
    body = json.dumps({"content": [thought(1), said("long text"), thought(2), called(1)]}).encode()
    message = DIALECT.decode(body).choices[0].message
    changed = {**handed_back(message), "content": "short"}
    assert sent_again(changed) == [thought(1), said("short"), thought(2), called(1)]
    del changed["tool_calls"], changed["content"]
    assert sent_again({**changed, "content": None, "reasoning_content": "hm"}) == [
        thought(1),
        thought(2),
    ]


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"{}",
        b"null",
        b"[1]",
        b'{"reasoning_details":[{"type":"reasoning.text"}]}\n',
        b'{"anthropic":null}',
        b'{"anthropic":{"at":[0,0]}}',
        b'{"anthropic":{"at":[0],"block":{"type":"thinking"}}}',
        b'{"anthropic":{"at":[0,0],"block":{"type":"text","text":"no"}}}',
        b'{"anthropic":{"at":[0,0],"block":"thinking"}}',
        b'{"anthropic":{"at":[0,0],"block":{"type":"thinking","thinking":"\xff"}}}',
        b"[" * 100_000,
    ],
    ids=lambda state: repr(state[:50]),
)
def test_state_that_is_not_ours_is_left_out(state: bytes) -> None:
    assert thoughts(state) == []
    message = {"role": "assistant", "content": "b"}
    encoded = base64.b64encode(state).decode()
    assert sent_again({**message, "provider_state": encoded}) == [said("b")]


def test_state_of_several_dialects_and_pieces_is_read_line_by_line() -> None:
    first, second = json.dumps(thought(1)).encode(), json.dumps(HIDDEN).encode()
    state = line(Thought(0, 0, first)) + b'{"extra_content":{}}\n' + line(Thought(3, 1, second))
    found = thoughts(state)
    assert [(thought.characters, thought.calls) for thought in found] == [(0, 0), (3, 1)]
    assert [json.loads(thought.block) for thought in found] == [thought(1), HIDDEN]


def test_places_that_cannot_be_are_no_harm() -> None:
    block = json.dumps(HIDDEN).encode()
    state = line(Thought(-1, -1, block)) + line(Thought(9, 9, block)) + line(Thought(1, 0, block))
    encoded = base64.b64encode(state).decode()
    message = {"role": "assistant", "content": "bcd", "provider_state": encoded}
    found = sent_again(message)
    assert "".join(block["text"] for block in found if block["type"] == "text") == "bcd"
    assert found.count(HIDDEN) == 3
