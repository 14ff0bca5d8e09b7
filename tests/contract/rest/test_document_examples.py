"""The API document's own examples, with only base URL and key changed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from typing import Any

import pytest

from tests.support.config import KEY
from tests.support.deployments import Deployment
from tests.support.openai_wire import refuses, says
from tests.support.parts import require_part
from tests.support.rest_door import RestDoor
from tests.support.rest_form import Reply
from tests.support.scripted_upstream import ScriptedUpstream

PUBLIC_URL = "https://api.llmbase.ai"
MODEL = "zai-org/glm-5"
ANSWERED = "Hello! I can help you with a wide range of tasks..."

CONVERSATION = """[
  { "role": "system", "content": "You are a helpful assistant." },
  { "role": "user", "content": "Summarise this article: ..." },
  { "role": "assistant", "content": "Here is a summary: ..." },
  { "role": "user", "content": "Make it shorter." }
]"""

PICTURE = """{
  "role": "user",
  "content": [
    { "type": "text", "text": "What is in this image?" },
    { "type": "image_url", "image_url": { "url": "https://example.com/image.jpg" } }
  ]
}"""

ANSWER = """{
  "id": "chatcmpl-a1b2c3d4e5f6a1b2c3d4e5f6",
  "object": "chat.completion",
  "created": 1741000000,
  "model": "zai-org/glm-5",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": "Hello! I can help you with a wide range of tasks..."
      },
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": 12,
    "completion_tokens": 48,
    "total_tokens": 60
  }
}"""

CURL = """curl https://api.llmbase.ai/v1/chat/completions \\
  -H "Authorization: Bearer $LLMBASE_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "zai-org/glm-5",
    "messages": [{ "role": "user", "content": "Count to 5." }],
    "stream": true
  }'"""

STREAM = [
    '{"id":"chatcmpl-...","object":"chat.completion.chunk","created":1741000000,'
    '"model":"zai-org/glm-5","choices":[{"index":0,"delta":{"role":"assistant"},'
    '"finish_reason":null}]}',
    '{"id":"chatcmpl-...","object":"chat.completion.chunk","created":1741000000,'
    '"model":"zai-org/glm-5","choices":[{"index":0,"delta":{"content":"1"},'
    '"finish_reason":null}]}',
    '{"id":"chatcmpl-...","object":"chat.completion.chunk","created":1741000000,'
    '"model":"zai-org/glm-5","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":10,"completion_tokens":9,"total_tokens":19}}',
    "[DONE]",
]

NOT_FOUND = """{
  "error": {
    "message": "Model not found: unknown/model",
    "type": "invalid_request_error"
  }
}"""


def _usage(prompt: int, completion: int) -> dict[str, int]:
    total = prompt + completion
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}


def _assert_documented(documented: Any, answered: Any) -> None:
    """Every documented key is there with its value; others may be there too.

    Ids and times are made anew: of those the form is compared.
    """
    if isinstance(documented, dict):
        assert isinstance(answered, dict)
        for key, value in documented.items():
            assert key in answered, key
            if key == "id":
                assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", answered[key])
            elif key == "created":
                assert isinstance(answered[key], int)
            else:
                _assert_documented(value, answered[key])
    elif isinstance(documented, list):
        assert len(documented) == len(answered)
        for one, other in zip(documented, answered, strict=True):
            _assert_documented(one, other)
    else:
        assert (type(answered), answered) == (type(documented), documented)


async def _ask(door: RestDoor, **fields: Any) -> Reply:
    return await door.send(json.dumps({"model": MODEL} | fields).encode())


async def test_a_conversation_is_answered_as_documented(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says(ANSWERED, usage=_usage(12, 48)))

    reply = await _ask(any_rest_door, messages=json.loads(CONVERSATION))

    assert reply.status == 200
    _assert_documented(json.loads(ANSWER), reply.json)
    asked = upstream.requests[0].json["messages"]
    assert [(m["role"], m["content"]) for m in asked] == [
        (m["role"], m["content"]) for m in json.loads(CONVERSATION)
    ]


async def test_a_picture_reaches_the_provider(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("A cat."))

    reply = await _ask(any_rest_door, messages=[json.loads(PICTURE)])

    assert reply.json["choices"][0]["message"]["content"] == "A cat."
    assert upstream.requests[0].json["messages"] == [json.loads(PICTURE)]


async def test_the_documented_parameters_reach_the_provider(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("Hello"))
    parameters = {
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 100,
        "frequency_penalty": -2.0,
        "presence_penalty": 2.0,
        "stop": ["a", "b", "c", "d"],
        "seed": 42,
    }

    reply = await _ask(any_rest_door, messages=json.loads(CONVERSATION), **parameters)

    assert reply.status == 200
    asked = upstream.requests[0].json
    limit = asked.pop("max_completion_tokens", None) or asked.pop("max_tokens")
    assert limit == 100
    del parameters["max_tokens"]
    assert {name: asked[name] for name in parameters} == parameters


async def test_a_stop_sequence_may_be_a_string(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("Hello"))

    reply = await _ask(any_rest_door, messages=json.loads(CONVERSATION), stop="end")

    assert reply.status == 200
    assert upstream.requests[0].json["stop"] in ("end", ["end"])


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_the_documented_finish_reasons_are_given(
    reason: str, any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", says("Hello", finish=reason))

    reply = await _ask(any_rest_door, messages=json.loads(CONVERSATION))

    assert reply.json["choices"][0]["finish_reason"] == reason


async def test_the_curl_example_streams_as_documented(
    one_process: Deployment, upstream: ScriptedUpstream
) -> None:
    require_part(shutil.which("curl"), "curl is not installed")
    upstream.on("glm-5", says("1", usage=_usage(10, 9)))
    command = CURL.replace(PUBLIC_URL, one_process.http)

    process = await asyncio.create_subprocess_exec(
        "sh", "-c", command, env={"LLMBASE_API_KEY": KEY}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert process.returncode == 0
    blocks = out.decode().split("\n\n")
    assert blocks.pop() == "", "the body ends with the blank line of its last event"
    assert len(blocks) == len(STREAM)
    for block, documented in zip(blocks, STREAM, strict=True):
        data = block.removeprefix("data: ")
        if documented == "[DONE]":
            assert data == documented
            continue
        answered = json.loads(data)
        _assert_documented(json.loads(documented), answered)
        # In a stream the deltas are exactly the documented ones, and usage is on the last only.
        choice = json.loads(documented)["choices"][0]
        assert answered["choices"][0]["delta"] == choice["delta"]
        assert ("usage" in answered) == ("usage" in json.loads(documented))
    assert upstream.requests[0].json["messages"] == [{"role": "user", "content": "Count to 5."}]


async def test_an_unknown_model_is_an_error_as_documented(any_rest_door: RestDoor) -> None:
    messages = [{"role": "user", "content": "Hello"}]

    reply = await _ask(any_rest_door, model="unknown/model", messages=messages)

    assert reply.status == 404
    _assert_documented(json.loads(NOT_FOUND), reply.json)


async def test_the_documented_statuses_are_used(
    any_rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    upstream.on("glm-5", refuses(500))
    messages = [{"role": "user", "content": "Hello"}]
    asking = json.dumps({"model": MODEL, "messages": messages}).encode()

    missing_field = await _ask(any_rest_door)
    bad_key = await any_rest_door.send(asking, {"Authorization": "Bearer wrong-key-0123456789"})
    unavailable = await any_rest_door.send(asking)

    assert (missing_field.status, bad_key.status, unavailable.status) == (400, 401, 502)
    for reply in (missing_field, bad_key, unavailable):
        assert reply.failure.message
