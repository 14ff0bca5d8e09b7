"""llmbase.v1 answers -> OpenAI's chat.completion as JSON. Pure.

Beyond what every answer has, a key is there only when it carries something (REST contract).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import orjson
from llmbase.v1 import chat_completion_pb2 as pb

FINISH_WORDS = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
    pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


def completion_to_json(completion: pb.ChatCompletion) -> bytes:
    """Return the body of a unary answer."""
    body: dict[str, Any] = {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created,
        "model": completion.model,
        # Here and below: a slice is the quickest way through.
        "choices": list(map(_choice, completion.choices[:])),
        "usage": usage_to_json(completion.usage),
    }
    if fingerprint := completion.system_fingerprint:
        body["system_fingerprint"] = fingerprint
    return orjson.dumps(body)


def _choice(choice: pb.Choice) -> dict[str, Any]:
    word = FINISH_WORDS.get(choice.finish_reason)
    body: dict[str, Any] = {
        "index": choice.index,
        "message": _message(choice.message),
        "finish_reason": word,
    }
    native = choice.native_finish_reason
    if native and native != word:
        body["native_finish_reason"] = native
    if choice.HasField("logprobs"):
        body["logprobs"] = logprobs_to_json(choice.logprobs)
    return body


def _message(message: pb.Message) -> dict[str, Any]:
    text = None
    for part in message.content[:]:  # mostly one
        if part.HasField("text"):
            text = part.text if text is None else text + part.text
    body: dict[str, Any] = {"role": "assistant", "content": text}
    if thought := message.reasoning_content:
        body["reasoning_content"] = thought
    if message.HasField("refusal"):
        body["refusal"] = message.refusal
    if calls := message.tool_calls:
        body["tool_calls"] = [_tool_call(call) for call in calls[:]]
    if opaque := message.provider_state:
        body["provider_state"] = state_to_json(opaque)
    return body


def _tool_call(call: pb.ToolCall) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    if call.provider_state:
        body["provider_state"] = state_to_json(call.provider_state)
    return body


def usage_to_json(usage: pb.Usage) -> dict[str, Any]:
    """Return usage as OpenAI has it; `estimated` only when llmbase counted for itself."""
    body: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    prompt_details = {}
    if usage.cached_tokens:
        prompt_details["cached_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens:
        prompt_details["cache_write_tokens"] = usage.cache_write_tokens
    if prompt_details:
        body["prompt_tokens_details"] = prompt_details
    if usage.reasoning_tokens:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.estimated:
        body["estimated"] = True
    return body


def logprobs_to_json(logprobs: pb.Logprobs) -> dict[str, Any]:
    """Return log probabilities; an empty list of tokens is null, as OpenAI has it."""
    return {
        "content": _tokens(logprobs.content) or None,
        "refusal": _tokens(logprobs.refusal) or None,
    }


def _tokens(tokens: Iterable[pb.TokenLogprob]) -> list[dict[str, Any]]:
    return [
        {**_token(token), "top_logprobs": [_token(other) for other in token.top_logprobs]}
        for token in tokens
    ]


def _token(token: pb.TokenLogprob) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": token.logprob,
        "bytes": list(token.bytes) if token.HasField("bytes") else None,
    }


def state_to_json(state: bytes) -> str:
    """Return opaque provider state as base64."""
    return base64.b64encode(state).decode()
