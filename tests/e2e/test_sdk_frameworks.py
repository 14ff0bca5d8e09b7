"""Frameworks on top of the OpenAI SDK, LangChain and Pydantic AI, ask us like anybody else."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import Answer, Call, says
from tests.support.scripted_upstream import ScriptedUpstream


class City(BaseModel):
    """A form of answer."""

    name: str
    people: int


PARIS = City(name="Paris", people=2_100_000)
WRITTEN = ('{"name": "Paris",', '"people": 2100000}')


@pytest.fixture
def base_url(one_process: Deployment, upstream: ScriptedUpstream) -> str:
    """What a user sets beside the key."""
    return f"{one_process.http}/v1"


class TestLangChain:
    """langchain-openai."""

    @pytest.fixture
    def model(self, base_url: str) -> ChatOpenAI:
        """A chat model that asks us."""
        return ChatOpenAI(
            model="test/one", base_url=base_url, api_key=SecretStr(KEY), max_retries=0
        )

    def test_both_shapes_are_read(self, model: ChatOpenAI, upstream: ScriptedUpstream) -> None:
        upstream.on("one", says("Hel", "lo"))

        whole = model.invoke("Hello")
        pieces = [chunk.text for chunk in model.stream("Hello")]

        assert whole.text == "Hello"
        assert whole.usage_metadata is not None and whole.usage_metadata["total_tokens"] == 15
        assert "".join(pieces) == "Hello" and len(pieces) > 1

    def test_tool_calls_are_read_in_both_shapes(
        self, model: ChatOpenAI, upstream: ScriptedUpstream
    ) -> None:
        @tool
        def weather(city: str) -> str:
            """Tell the weather."""
            return city

        upstream.on("one", says(calls=[Call("c1", "weather", ['{"city":', '"Paris"}'])]))
        bound = model.bind_tools([weather])

        whole = bound.invoke("Hello")
        chunks = list(bound.stream("Hello"))
        streamed = chunks[0]
        for chunk in chunks[1:]:
            streamed += chunk  # type: ignore[assignment]

        for message in (whole, streamed):
            (call,) = message.tool_calls
            assert (call["name"], call["args"], call["id"]) == (
                "weather",
                {"city": "Paris"},
                "c1",
            )

    def test_structured_output_is_parsed(
        self, model: ChatOpenAI, upstream: ScriptedUpstream
    ) -> None:
        upstream.on("one", says(*WRITTEN))

        parsed = model.with_structured_output(City).invoke("Hello")

        assert parsed == PARIS


class TestPydanticAI:
    """pydantic-ai."""

    @pytest.fixture
    async def model(self, base_url: str) -> AsyncIterator[OpenAIChatModel]:
        """A chat model that asks us."""
        async with openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
            yield OpenAIChatModel("test/one", provider=OpenAIProvider(openai_client=client))

    @staticmethod
    def _final(*arguments: str) -> Answer:
        return says(calls=[Call("c1", "final_result", arguments)])

    async def test_output_by_a_tool_is_parsed_in_both_shapes(
        self, model: OpenAIChatModel, upstream: ScriptedUpstream
    ) -> None:
        upstream.on("one", self._final(*WRITTEN))
        agent: Agent[None, City] = Agent(model, output_type=City, instructions="Be brief.")

        result = await agent.run("Hello")
        async with agent.run_stream("Hello") as streamed:
            output = await streamed.get_output()

        assert result.output == output == PARIS
        assert upstream.requests[0].json["tool_choice"] == "required"

    async def test_a_tool_of_the_agent_is_called_and_text_is_streamed(
        self, model: OpenAIChatModel, upstream: ScriptedUpstream
    ) -> None:
        call = says(calls=[Call("c1", "weather", ['{"city": "Paris"}'])])
        upstream.on("one", call, says("Sun", "ny"))
        agent: Agent[None, str] = Agent(model)
        asked = []

        @agent.tool_plain
        def weather(city: str) -> str:
            """Tell the weather."""
            asked.append(city)
            return "sunny"

        async with agent.run_stream("Hello") as streamed:
            pieces = [piece async for piece in streamed.stream_text(delta=True, debounce_by=None)]

        assert asked == ["Paris"]
        assert "".join(pieces) == "Sunny"
        assert streamed.usage.output_tokens > 0
