"""The short way for plain messages leads where the long way does, for whatever conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ModelConfig, TargetConfig
from service.errors import InvalidRequest, UnsupportedCapability
from service.providers import estimate, plain_message
from service.providers.dialects.compatible import OPENAI
from service.providers.dialects.openai import OpenAiDialect
from service.providers.dialects.openai_spelling import Spelling
from service.providers.plain_message import Other, turns_of
from service.routing import capability
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
SPEAKERS = {pb.ROLE_SYSTEM: "system", pb.ROLE_USER: "user", pb.ROLE_ASSISTANT: "assistant"}
NO_IMAGES = ModelConfig(targets=(TargetConfig(provider="p", model="m"),))
SPELLINGS = [
    Spelling(),
    OPENAI,
    Spelling(refusals=False, names=False, additions=False, prefix=True, reasoning=""),
]


@given(st.sampled_from([*SPEAKERS]), st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_role_and_one_text_are_plain(role: pb.Role.ValueType, words: str) -> None:
    message = pb.Message(role=role, content=[pb.ContentPart(text=words)])

    assert turns_of([message]) == ([{"role": SPEAKERS[role], "content": words}], len(words), [])


@pytest.mark.parametrize("role", [pb.ROLE_UNSPECIFIED, pb.ROLE_DEVELOPER, pb.ROLE_TOOL, 99])
def test_a_message_of_nobody_whom_all_know_is_not_plain(role: pb.Role.ValueType) -> None:
    is_not_plain(pb.Message(role=role, content=[pb.ContentPart(text="hi")]))


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

    is_not_plain(message)


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
    is_not_plain(pb.Message(role=pb.ROLE_USER, content=[part]))


@given(st.lists(plain | pb_messages, max_size=4))
def test_each_message_is_plain_or_not_whatever_stands_beside_it(messages: list[pb.Message]) -> None:
    turns, characters, others = turns_of(messages)

    assert turns == [turns_of([message])[0][0] for message in messages]
    assert characters == sum(len(turn.get("content", "")) for turn in turns)
    assert [it.place for it in others] == [i for i, turn in enumerate(turns) if not turn]
    for other in others:
        has_what_is_there(other, messages[other.place])


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

    assert refusal() == _the_long_way(refusal)


@given(conversations)
def test_any_conversation_is_counted_as_without_the_short_way(
    request: pb.ChatCompletionRequest,
) -> None:
    def counted() -> int:
        return estimate.prompt_tokens(request)

    assert counted() == _the_long_way(counted)


@given(conversations)
def test_images_are_found_as_without_the_short_way(request: pb.ChatCompletionRequest) -> None:
    def lacking() -> str:
        try:
            capability.check(request, "m", NO_IMAGES)
        except UnsupportedCapability as fault:
            return str(fault)
        return ""

    assert lacking() == _the_long_way(lacking)


@given(conversations)
def test_a_conversation_that_was_seen_to_be_of_texts_has_nothing_else(
    request: pb.ChatCompletionRequest,
) -> None:
    try:
        seen = validation.check(request)
    except InvalidRequest:
        return

    parts = [part for message in request.messages for part in message.content]
    assert seen.textual == all(part.WhichOneof("part") == "text" for part in parts)


def is_not_plain(message: pb.Message) -> None:
    turns, characters, [other] = turns_of([message])
    assert (turns, characters, other.place) == ([{}], 0, 0)
    has_what_is_there(other, message)


def has_what_is_there(other: Other, message: pb.Message) -> None:
    assert (other.role, list(other.parts)) == (message.role, list(message.content))
    assert pb.Message(**other.given) == message


def _the_long_way(do: Callable[[], T]) -> T:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plain_message, "_SPEAKERS", {})
        return do()
