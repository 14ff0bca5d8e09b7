"""The bounds of a call are never below what it uses."""

from __future__ import annotations

from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.accounts.bounds import input_bound, output_bound
from service.config import ModelConfig
from service.providers import estimate


def _model(**more: Any) -> ModelConfig:
    return ModelConfig.model_validate({"targets": [{"provider": "acme"}]} | more)


def _request(*texts: str, **more: Any) -> pb.ChatCompletionRequest:
    request = pb.ChatCompletionRequest(model="acme/one", **more)
    for text in texts:
        request.messages.add(role=pb.ROLE_USER).content.add(text=text)
    return request


@pytest.mark.parametrize("modalities", [("text",), ("text", "image")])
def test_every_byte_of_a_text_can_be_a_token(modalities: tuple[str, ...]) -> None:
    model = _model(input_modalities=modalities)
    texts = ("hello", "\N{SNOWMAN}" * 1000, "ünïcödé")
    least = sum(len(text.encode()) for text in texts) + 8 * len(texts) + 64
    assert least <= input_bound(_request(*texts), model) <= least + 16 * len(texts)


def test_tools_calls_reasoning_and_the_format_are_part_of_the_prompt() -> None:
    request = _request("hi")
    before = input_bound(request, _model())
    request.tools.add(name="n" * 10, description="d" * 100, parameters="p" * 1000)
    request.messages.add(role=pb.ROLE_ASSISTANT, reasoning_content="r" * 10_000).tool_calls.add(
        id="i", name="n", arguments="a" * 100_000
    )
    request.response_format.json_schema.schema = "s" * 1_000_000
    assert input_bound(request, _model()) >= before + 1_111_110 + 512


def test_an_image_counts_as_one_however_many_bytes_it_is_sent_in() -> None:
    request = _request("what is this?")
    model = _model(input_modalities=["text", "image"])
    before = input_bound(request, model)
    request.messages[0].content.add().image_url.url = "data:image/png;base64," + "A" * 1_000_000
    assert before + 2048 - 10 <= input_bound(request, model) <= before + 2048


def test_the_context_bounds_everything() -> None:
    model = _model(context_length=1000, max_output_length=5000)
    assert input_bound(_request("x" * 10_000), model) == 1000
    assert output_bound(_request("x", max_tokens=10_000), model) == 1000


def test_an_answer_is_as_long_as_was_asked_for_or_as_it_can_be() -> None:
    assert output_bound(_request(max_tokens=7), _model(max_output_length=100)) == 7
    assert output_bound(_request(max_tokens=700), _model(max_output_length=100)) == 100
    assert output_bound(_request(), _model(max_output_length=100, context_length=1000)) == 100
    assert output_bound(_request(), _model(context_length=1000)) == 1000
    assert output_bound(_request(), _model()) == 4096


def test_the_bound_is_above_the_estimate() -> None:
    for text in ("", "a", "word " * 1000, "\N{PILE OF POO}" * 99):
        request = _request(text)
        assert input_bound(request, _model()) > estimate.prompt_tokens(request)
