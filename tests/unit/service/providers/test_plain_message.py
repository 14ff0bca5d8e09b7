"""The short way for plain messages leads where the long way does, for whatever conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.dialects import openai_messages
from service.providers.dialects.compatible import OPENAI
from service.providers.dialects.openai import OpenAiDialect
from service.providers.dialects.openai_spelling import Spelling
from service.providers.plain_message import plain_text
from service.rpc import validation
from tests.unit.gateway.request_strategies import pb_messages, text

T = TypeVar("T")

plain = st.builds(
    pb.Message,
    role=st.sampled_from([*pb.Role.values(), 99]),
    content=text.map(lambda words: [pb.ContentPart(text=words)]),
)
conversations = st.lists(plain | pb_messages, max_size=4).map(
    lambda messages: pb.ChatCompletionRequest(model="m", messages=messages)
)
SPELLINGS = [
    Spelling(),
    OPENAI,
    Spelling(refusals=False, names=False, additions=False, prefix=True, reasoning=""),
]


@given(st.sampled_from(sorted(pb.Role.values())), st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_role_and_one_text_are_plain(role: pb.Role.ValueType, words: str) -> None:
    message = pb.Message(content=[pb.ContentPart(text=words)])
    if role:
        message.role = role

    assert plain_text(message) == (words if role else "")


@pytest.mark.parametrize(
    "more",
    [
        pb.Message(name=""),
        pb.Message(tool_calls=[pb.ToolCall()]),
        pb.Message(tool_call_id=""),
        pb.Message(reasoning_content=""),
        pb.Message(refusal=""),
        pb.Message(provider_state=b"s"),
        pb.Message(content=[pb.ContentPart(text="more")]),
        pb.Message(content=[pb.ContentPart()]),
    ],
    ids=str,
)
def test_a_message_of_anything_more_is_not_plain(more: pb.Message) -> None:
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])
    message.MergeFrom(more)

    assert plain_text(message) == ""


@pytest.mark.parametrize(
    "part",
    [
        pb.ContentPart(),
        pb.ContentPart(text=""),
        pb.ContentPart(refusal="no"),
        pb.ContentPart(image_url=pb.ImageUrl(url="https://example.com/a.png")),
    ],
    ids=str,
)
def test_a_message_of_something_else_is_not_plain(part: pb.ContentPart) -> None:
    assert plain_text(pb.Message(role=pb.ROLE_USER, content=[part])) == ""


@given(conversations, st.sampled_from(SPELLINGS))
def test_any_conversation_is_encoded_as_without_the_short_way(
    request: pb.ChatCompletionRequest, spelling: Spelling
) -> None:
    known = [message for message in request.messages if message.role in pb.Role.values()]
    asked = pb.ChatCompletionRequest(messages=known or [pb.Message(role=pb.ROLE_USER)])
    dialect = OpenAiDialect(spelling)

    def encoded() -> bytes:
        return dialect.encode(asked, "model", stream=False).body

    assert encoded() == _the_long_way(openai_messages, encoded)


@given(conversations)
def test_any_conversation_is_checked_as_without_the_short_way(
    request: pb.ChatCompletionRequest,
) -> None:
    def refusal() -> str:
        try:
            validation.check(request)
        except InvalidRequest as fault:
            return str(fault)
        return ""

    assert refusal() == _the_long_way(validation, refusal)


def _the_long_way(room: object, do: Callable[[], T]) -> T:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "plain_text", lambda message: "")
        return do()
