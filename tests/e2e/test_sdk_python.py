"""The OpenAI SDK for Python, with only base URL and key changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.support.config import KEY, NARROW_KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import Call, refuses, says, stream
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import cut, stall

MESSAGES: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You are a concise assistant."},
    {"role": "user", "content": "Explain recursion in one sentence."},
]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object"}},
}
TIME: ChatCompletionToolParam = {"type": "function", "function": {"name": "time"}}
PARALLEL = says(
    calls=[
        Call("c1", "weather", ['{"city":', '"Paris"}']),
        Call("c2", "time", ["{", "}"]),
    ]
)


class City(BaseModel):
    """A form of answer."""

    name: str
    people: int


PARIS = says('{"name": "Paris",', '"people": 2100000}')


@pytest.fixture
def base_url(one_process: Deployment, upstream: ScriptedUpstream) -> str:
    """What a user changes in the SDK's configuration, beside the key."""
    return f"{one_process.http}/v1"


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    """The blocking client."""
    with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The asyncio client."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        yield client


def test_a_whole_answer_is_read(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.on("glm-5", says("It calls itself."))

    response = client.chat.completions.create(
        model="zai-org/glm-5", messages=MESSAGES, temperature=0.7, max_tokens=100
    )

    assert response.choices[0].message.content == "It calls itself."
    assert response.choices[0].finish_reason == "stop"
    assert response.usage is not None and response.usage.total_tokens == 15
    assert response._request_id


def test_a_stream_is_read_with_its_usage_on_the_last_chunk(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("A ", "poem"))

    chunks = list(
        client.chat.completions.create(model="zai-org/glm-5", messages=MESSAGES, stream=True)
    )

    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "A poem"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 15


def test_usage_comes_once_where_the_sdk_asks_for_it(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("A ", "poem"))

    chunks = list(
        client.chat.completions.create(
            model="zai-org/glm-5",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    with_usage = [chunk for chunk in chunks if chunk.usage is not None]
    assert [chunk.choices for chunk in with_usage] == [[]]


async def test_the_asyncio_client_reads_both_shapes(
    async_client: openai.AsyncOpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", says("Hel", "lo"))

    whole = await async_client.chat.completions.create(model="test/one", messages=MESSAGES)
    streamed = await async_client.chat.completions.create(
        model="test/one", messages=MESSAGES, stream=True
    )
    pieces = [chunk.choices[0].delta.content async for chunk in streamed]

    assert whole.choices[0].message.content == "Hello"
    assert pieces == [None, "Hel", "lo", None]


def test_parallel_tool_calls_are_made_and_answered(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", PARALLEL, says("Sunny, noon."))

    asked = client.chat.completions.create(
        model="test/one", messages=MESSAGES, tools=[WEATHER, TIME], tool_choice="required"
    )
    message = asked.choices[0].message
    calls = message.tool_calls or []
    results: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in calls
    ]
    turn: Any = message.to_dict()
    answered = client.chat.completions.create(
        model="test/one", messages=[*MESSAGES, turn, *results], tools=[WEATHER, TIME]
    )

    assert asked.choices[0].finish_reason == "tool_calls"
    called = [call.function for call in calls if call.type == "function"]
    assert [(function.name, function.arguments) for function in called] == [
        ("weather", '{"city":"Paris"}'),
        ("time", "{}"),
    ]
    assert answered.choices[0].message.content == "Sunny, noon."
    history = upstream.requests[1].json["messages"]
    assert [call["id"] for call in history[2]["tool_calls"]] == ["c1", "c2"]
    assert [turn["tool_call_id"] for turn in history[3:]] == ["c1", "c2"]


def test_parallel_tool_calls_are_put_together_from_a_stream(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", PARALLEL)

    with client.chat.completions.stream(
        model="test/one", messages=MESSAGES, tools=[WEATHER, TIME]
    ) as events:
        completion = events.get_final_completion()

    calls = completion.choices[0].message.tool_calls or []
    assert [(c.id, c.function.name, c.function.arguments) for c in calls] == [
        ("c1", "weather", '{"city":"Paris"}'),
        ("c2", "time", "{}"),
    ]


def test_structured_output_is_parsed(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.on("one", PARIS)

    parsed = client.chat.completions.parse(
        model="test/one", messages=MESSAGES, response_format=City
    )
    with client.chat.completions.stream(
        model="test/one", messages=MESSAGES, response_format=City
    ) as events:
        streamed = events.get_final_completion()

    assert parsed.choices[0].message.parsed == City(name="Paris", people=2_100_000)
    assert streamed.choices[0].message.parsed == City(name="Paris", people=2_100_000)
    asked = upstream.requests[0].json["response_format"]
    assert asked["json_schema"]["strict"] is True
    assert set(asked["json_schema"]["schema"]["properties"]) == {"name", "people"}


def test_logprobs_are_read(client: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.on("one", says("Hel", "lo", logprobs=True))

    response = client.chat.completions.create(
        model="test/one", messages=MESSAGES, logprobs=True, top_logprobs=2
    )

    logprobs = response.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    assert [entry.token for entry in logprobs.content] == ["Hel", "lo"]
    assert logprobs.content[0].top_logprobs[1].token == "other"


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    assert "zai-org/glm-5" in [model.id for model in client.models.list()]
    assert client.models.retrieve("zai-org/glm-5").owned_by == "zai-org"


@pytest.mark.parametrize(
    ("fields", "kind", "status", "code"),
    [
        ({"model": "unknown/model"}, openai.NotFoundError, 404, "model_not_found"),
        ({"temperature": 5}, openai.BadRequestError, 400, None),
        ({"model": "test/dead"}, openai.InternalServerError, 502, "all_providers_failed"),
        ({"model": "test/hasty"}, openai.InternalServerError, 504, "deadline_exceeded"),
    ],
)
def test_errors_are_its_own_exceptions(
    fields: dict[str, Any],
    kind: type[openai.APIStatusError],
    status: int,
    code: str | None,
    streamed: bool,
    client: openai.OpenAI,
    upstream: ScriptedUpstream,
) -> None:
    upstream.on("hasty", stream(stall))
    asking: dict[str, Any] = {"model": "test/one", "messages": MESSAGES, "stream": streamed}

    with pytest.raises(kind) as error:
        client.chat.completions.create(**asking | fields)

    assert (error.value.status_code, error.value.code) == (status, code)
    assert error.value.message
    assert error.value.request_id


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("wrong-key-0123456789", openai.AuthenticationError),
        (NARROW_KEY, openai.PermissionDeniedError),
    ],
)
def test_a_wrong_key_is_its_own_exception(
    key: str, kind: type[openai.APIStatusError], client: openai.OpenAI
) -> None:
    with pytest.raises(kind):
        client.with_options(api_key=key).chat.completions.create(
            model="test/one", messages=MESSAGES
        )


def test_a_cut_stream_is_an_exception_and_no_end(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    role, hel, *_ = says("Hel").events()
    upstream.on("one", stream(role, hel, cut))
    pieces = []

    with pytest.raises(openai.APIError) as error:
        for chunk in client.chat.completions.create(
            model="test/one", messages=MESSAGES, stream=True
        ):
            pieces.append(chunk.choices[0].delta.content)

    assert error.value.code == "upstream_truncated"
    assert pieces == [None, "Hel"]


def test_it_waits_as_long_as_the_provider_asks_and_tries_again(
    client: openai.OpenAI, upstream: ScriptedUpstream
) -> None:
    upstream.on("one", refuses(429, Retry_After="1"), says("Hello"))

    response = client.with_options(max_retries=1).chat.completions.create(
        model="test/one", messages=MESSAGES
    )

    assert response.choices[0].message.content == "Hello"
    first, second = upstream.exchanges
    assert second.began_at - first.began_at >= 0.9
