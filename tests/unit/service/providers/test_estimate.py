"""What is counted when a provider gives no usage: every text, four characters a token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from service.providers import estimate
from tests.unit.gateway.request_strategies import pb_messages, pb_requests

TEXT = pb.ContentPart(text="12345678")
IMAGE = pb.ContentPart(image_url=pb.ImageUrl(url="https://example.com/a.png"))
CALL = pb.ToolCall(id="c1", name="find", arguments='{"a":1}!')


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (pb.Message(), 4),
        (pb.Message(role=pb.ROLE_USER, content=[TEXT]), 4 + 2),
        (pb.Message(content=[TEXT, pb.ContentPart(refusal="1234"), pb.ContentPart()]), 4 + 3),
        (pb.Message(content=[IMAGE, TEXT, IMAGE]), 4 + 2 + 2 * 765),
        (pb.Message(content=[pb.ContentPart(text="语言")]), 4 + 1),
        (pb.Message(tool_calls=[CALL, CALL]), 4 + 6),
        (pb.Message(reasoning_content="1234", refusal="12345"), 4 + 3),
        (pb.Message(name="a name", provider_state=b"opaque", tool_call_id="c1"), 4),
    ],
    ids=str,
)
def test_a_message_is_four_tokens_and_its_texts_and_images(
    message: pb.Message, tokens: int
) -> None:
    assert estimate.prompt_tokens(pb.ChatCompletionRequest(messages=[message])) == tokens


def test_a_tool_is_its_name_description_and_schema() -> None:
    tool = pb.Tool(name="find", description="finds", parameters='{"type":"object"}')

    assert estimate.prompt_tokens(pb.ChatCompletionRequest(tools=[tool, tool])) == 13


@given(pb_requests)
def test_any_request_is_the_sum_of_what_it_holds(request: pb.ChatCompletionRequest) -> None:
    characters = sum(
        len(tool.name) + len(tool.description) + len(tool.parameters) for tool in request.tools
    )
    characters += sum(characters_of(message) for message in request.messages)
    images = sum(p.HasField("image_url") for m in request.messages for p in m.content)

    used = 4 * len(request.messages) + 765 * images + estimate.tokens(characters)
    assert estimate.prompt_tokens(request) == used


@given(st.lists(pb_messages, max_size=3))
def test_an_answer_is_the_characters_of_all_its_choices(messages: list[pb.Message]) -> None:
    completion = pb.ChatCompletion(choices=[pb.Choice(message=message) for message in messages])

    counted = estimate.completion_characters(completion)
    assert counted == sum(characters_of(message) for message in messages)


def characters_of(message: pb.Message) -> int:
    return (
        sum(len(part.text) + len(part.refusal) for part in message.content)
        + sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
        + len(message.reasoning_content)
        + len(message.refusal)
    )
