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
from service.providers.plain_message import plain_turns
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
OTHER = (pb.ROLE_UNSPECIFIED, "")
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

    assert plain_turns([message]) == [(role, words) if role else OTHER]


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

    assert plain_turns([message]) == [OTHER]


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
    assert not plain_turns([pb.Message(role=pb.ROLE_USER, content=[part])])[0][1]


@given(st.lists(plain | pb_messages, max_size=4))
def test_each_message_is_plain_or_not_whatever_stands_beside_it(messages: list[pb.Message]) -> None:
    assert plain_turns(messages) == [plain_turns([message])[0] for message in messages]


@given(conversations, st.sampled_from(SPELLINGS))
def test_any_conversation_is_encoded_as_without_the_short_way(
    request: pb.ChatCompletionRequest, spelling: Spelling
) -> None:
    known = [message for message in request.messages if message.role in pb.Role.values()]
    asked = pb.ChatCompletionRequest(messages=known or [pb.Message(role=pb.ROLE_USER)])
    dialect = OpenAiDialect(spelling)

    def encoded() -> bytes:
        return dialect.encode(asked, "model", stream=False).body

    assert encoded() == _the_long_way(encoded)


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

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(validation, "_SPEAKERS", frozenset())
        the_long_way = refusal()
    assert refusal() == the_long_way


@given(st.lists(plain, min_size=1, max_size=3) | st.lists(pb_messages, max_size=3))
def test_a_conversation_that_is_said_to_be_plain_has_a_text_in_each_message(
    messages: list[pb.Message],
) -> None:
    request = pb.ChatCompletionRequest(model="m", messages=messages)
    try:
        is_plain = validation.check(request)
    except InvalidRequest:
        return

    texts = [[part.text for part in message.content] for message in messages]
    speak = all(message.role != pb.ROLE_TOOL for message in messages)
    called = any(message.tool_calls for message in messages)
    alone = all(len(found) == 1 and found[0] for found in texts)
    assert is_plain == (alone and speak and not called)


def _the_long_way(do: Callable[[], T]) -> T:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(openai_messages, "plain_turns", lambda given: [OTHER] * len(given))
        return do()
