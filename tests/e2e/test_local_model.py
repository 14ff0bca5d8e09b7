"""The embedded engine with the real model: what it answers.

Nothing here depends on what the model says, only on the form of it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
import pytest_asyncio

from tests.support.embedded_client import (
    CONTEXT,
    DEFAULT_MAX_TOKENS,
    PARALLEL,
    STORY,
    SYSTEM,
    Client,
    engine_processes,
    new_engine,
)
from tests.support.local_model import require_local_model

pytestmark = [pytest.mark.local_model, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[Client]:
    """A client of an engine that has answered once: later prompts find their beginning cached."""
    require_local_model()
    engine = new_engine()
    await engine.start()
    client = Client(engine)
    await client.ask(max_tokens=1)
    yield client
    await client.close()
    await engine.stop()


def joined(chunks: list[Any]) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_an_answer_has_text_a_reason_and_usage_that_adds_up(client: Client):
    answer = await client.ask(max_tokens=8)
    assert answer["message"]["role"] == "assistant"
    assert answer["message"]["content"]
    assert answer["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 8
    assert usage["prompt_tokens"] > 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0


async def test_a_stream_says_the_same_piece_by_piece(client: Client):
    chunks = await client.stream(max_tokens=12, stream_options={"include_usage": True})
    assert joined(chunks) == await client.text(max_tokens=12)
    pieces = [chunk for chunk in chunks if joined([chunk])]
    assert len(pieces) > 6
    assert chunks[-1]["usage"]["completion_tokens"] == 12
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"


async def test_an_answer_without_a_limit_of_its_own_is_limited_all_the_same(client: Client):
    answer = await client.ask(logit_bias={"2": -100})  # it cannot end by itself
    assert answer["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == DEFAULT_MAX_TOKENS
    longer = await client.ask(logit_bias={"2": -100}, max_tokens=DEFAULT_MAX_TOKENS + 5)
    assert longer["usage"]["completion_tokens"] == DEFAULT_MAX_TOKENS + 5


async def test_the_same_seed_gives_the_same_text(client: Client):
    texts = [await client.text(temperature=1.5, seed=seed, max_tokens=16) for seed in (7, 7, 8)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_stop_sequence_ends_the_text_before_itself(client: Client, streamed: bool):
    text = await client.text(max_tokens=24)
    stop = text[len(text) // 2 :][:4]
    before = text[: text.index(stop)]
    if streamed:
        chunks = await client.stream(max_tokens=24, stop=["no such text", stop])
        assert joined(chunks) == before
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    else:
        answer = await client.ask(max_tokens=24, stop=["no such text", stop])
        assert answer["message"]["content"] == before
        assert answer["finish_reason"] == "stop"


async def test_a_text_may_be_empty(client: Client):
    text = await client.text(max_tokens=4)
    answer = await client.ask(max_tokens=4, stop=[text[0]])
    assert (answer["message"]["content"], answer["finish_reason"]) == ("", "stop")
    assert joined(await client.stream(max_tokens=4, stop=[text[0]])) == ""


async def test_an_answer_in_a_json_schema_is_valid(client: Client):
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "kind": {"enum": ["dragon", "knight"]},
        },
        "required": ["name", "age", "kind"],
        "additionalProperties": False,
    }
    named = {"name": "being", "schema": schema, "strict": True}
    response_format = {"type": "json_schema", "json_schema": named}
    answer = await client.ask(response_format=response_format, max_tokens=300)
    assert answer["finish_reason"] == "stop"
    jsonschema.validate(json.loads(answer["message"]["content"]), schema)


async def test_an_answer_in_json_is_an_object(client: Client):
    text = await client.text(response_format={"type": "json_object"}, max_tokens=12)
    assert text.startswith("{")


@pytest.mark.parametrize("streamed", [False, True])
async def test_log_probabilities_are_of_the_tokens_of_the_text(client: Client, streamed: bool):
    asked = {"logprobs": True, "top_logprobs": 3, "max_tokens": 6, "logit_bias": {"2": -100}}
    if streamed:
        chunks = await client.stream(**asked)
        told = [choice.get("logprobs") for chunk in chunks for choice in chunk["choices"]]
        tokens = [token for logprobs in told if logprobs for token in logprobs["content"]]
        text = joined(chunks)
    else:
        answer = await client.ask(**asked)
        tokens, text = answer["logprobs"]["content"], answer["message"]["content"]
    assert b"".join(bytes(token["bytes"]) for token in tokens).decode() == text
    for token in tokens:
        assert token["logprob"] <= 0
        tops = [top["logprob"] for top in token["top_logprobs"]]
        assert len(tops) == 3
        assert tops == sorted(tops, reverse=True)


async def test_two_choices_come_side_by_side(client: Client):
    async with await client.post(n=2, temperature=1, max_tokens=4) as response:
        answer = await response.json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]


async def test_an_assistants_turn_at_the_end_is_not_continued(client: Client):
    begun = [*STORY, {"role": "assistant", "content": "Xyzzy plugh"}]
    assert not (await client.text(messages=begun, max_tokens=8)).startswith("Xyzzy plugh")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_conversation_has_the_whole_context_and_no_more(client: Client, streamed: bool):
    fits = [SYSTEM, {"role": "user", "content": "word " * (CONTEXT - 60)}]
    assert (await client.ask(messages=fits, max_tokens=1))["usage"]["prompt_tokens"] > CONTEXT / 2
    too_long = [SYSTEM, {"role": "user", "content": "word " * CONTEXT}]
    async with await client.post(messages=too_long, stream=streamed) as response:
        error = (await response.json())["error"]
    assert response.status == 400
    assert error["type"] == "exceed_context_size_error"


async def test_generation_stops_when_the_caller_leaves(client: Client):
    for _ in range(PARALLEL):
        response = await client.post(stream=True, max_tokens=CONTEXT, logit_bias={"2": -100})
        await response.content.readuntil(b'"content":"')
        response.close()
    (process,) = engine_processes()
    async with asyncio.timeout(3):  # all the tokens that were asked for would take longer
        while await busy_seconds(process, 0.3) > 0.1:
            pass


async def busy_seconds(process: psutil.Process, seconds: float) -> float:
    """How much of the next `seconds` a process computes."""
    before = process.cpu_times().user
    await asyncio.sleep(seconds)
    return process.cpu_times().user - before


async def test_a_terminals_interrupt_reaches_the_service_alone(client: Client):
    for process in engine_processes():
        assert os.getpgid(process.pid) != os.getpgid(0)


async def test_its_socket_is_for_its_user_alone(client: Client):
    (options,) = [json.loads(process.cmdline()[-1]) for process in engine_processes()]
    assert Path(options["socket"]).parent.stat().st_mode & 0o777 == 0o700
