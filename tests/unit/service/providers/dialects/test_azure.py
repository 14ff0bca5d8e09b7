"""Azure OpenAI: three forms of URL, and streams that begin without a choice."""

import json

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig
from service.providers.dialects import DIALECTS
from service.providers.dialects.dialect import Event

REQUEST = pb.ChatCompletionRequest(
    messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])], max_tokens=5
)


def _encoded(base_url, model="my deployment", **config):
    given = ProviderConfig(dialect="azure", base_url=base_url, **config)
    return DIALECTS["azure"].build(given).encode(REQUEST, model, stream=True)


@pytest.mark.parametrize(
    ("base_url", "version", "path"),
    [
        ("https://x.openai.azure.com", None, "/openai/v1/chat/completions"),
        (
            "https://x.openai.azure.com",
            "2024-10-21",
            "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21",
        ),
        ("https://x.openai.azure.com/openai/v1", None, "/chat/completions"),
        (
            "https://x.services.ai.azure.com/models",
            "2024-05-01-preview",
            "/chat/completions?api-version=2024-05-01-preview",
        ),
    ],
)
def test_the_url_has_the_form_that_the_configuration_says(base_url, version, path):
    assert _encoded(base_url, api_version=version).path == path


def test_the_model_stays_in_the_body():
    body = json.loads(_encoded("https://x.openai.azure.com").body)
    assert body["model"] == "my deployment"
    assert body["max_completion_tokens"] == 5


@pytest.mark.parametrize(
    ("version", "asks"),
    [(None, True), ("2024-10-21", True), ("2024-09-01-preview", True), ("2024-06-01", False)],
)
def test_usage_is_asked_for_where_the_version_knows_how(version, asks):
    body = json.loads(_encoded("https://x.openai.azure.com", api_version=version).body)
    assert ("stream_options" in body) is asks


def test_a_stream_may_begin_with_filter_results_and_no_choice():
    given = ProviderConfig(dialect="azure", base_url="https://x.openai.azure.com")
    decoder = DIALECTS["azure"].build(given).decode_stream()
    chunk = pb.ChatCompletionChunk()
    for data in (
        b'{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}',
        b'{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}',
        b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
        b"[DONE]",
    ):
        decoder.decode(Event("", data), chunk)
    assert [delta.content for delta in chunk.choices] == ["Hi"]
    assert decoder.finish().choices[0].finish_reason == pb.FINISH_REASON_STOP
