"""JSON -> message -> JSON is the canonical form; message -> JSON -> message changes nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.request import (
    CANONICAL,
    RequestOptions,
    request_from_json,
    request_to_json,
)
from tests.unit.gateway.request_strategies import Json, pb_requests, requests

# --- the canonical form, rule by rule ---------------------------------------------------------


def parts_of(body: Json) -> Iterator[Json]:
    """Every object of a request that has fields of its own (a JSON Schema has not)."""
    yield body
    for message in body.get("messages") or ():
        yield message
        for part in message.get("content") or ():
            if isinstance(part, dict):
                yield part
                yield part.get("image_url") or {}
        for call in message.get("tool_calls") or ():
            yield call
            yield call["function"]
    for tool in body.get("tools") or ():
        yield tool
        yield tool["function"]
    if isinstance(choice := body.get("tool_choice"), dict):
        yield choice
        yield choice["function"]
    form = body.get("response_format") or {}
    yield form
    yield form.get("json_schema") or {}
    for key in ("chat_template_kwargs", "extra_body.chat_template_kwargs", "extra_body"):
        yield body.get(key) or {}
    yield (body.get("extra_body") or {}).get("chat_template_kwargs") or {}
    yield body.get("stream_options") or {}


def drop(body: Json, *keys: str, unless: Callable[[Any], bool] = lambda value: False) -> None:
    for key in keys:
        if key in body and not unless(body[key]):
            del body[key]


def no_null(body: Json) -> None:
    for part in parts_of(body):
        drop(part, *[key for key, value in part.items() if value is None])


def no_unknown(body: Json) -> None:
    for part in parts_of(body):
        drop(part, "x_unknown", "annotations", "verbosity", "prediction")


def no_empty(body: Json) -> None:
    drop(body, "model", "messages", "tools", "stop", "metadata", "logit_bias", unless=bool)
    for part in parts_of(body):
        if part is not body:
            drop(part, "id", "url", "provider_state", "tool_calls", unless=bool)
    named = [call["function"] for m in body.get("messages", ()) for call in m.get("tool_calls", ())]
    named += [tool["function"] for tool in body.get("tools", ())]
    named.append(body.get("response_format", {}).get("json_schema", {}))
    for function in named:
        drop(function, "name", unless=bool)


def integral(body: Json) -> None:
    for key in ("max_tokens", "max_completion_tokens", "top_logprobs", "n"):
        if key in body:
            body[key] = int(body[key])
    if "logit_bias" in body:
        body["logit_bias"] = {token: int(bias) for token, bias in body["logit_bias"].items()}


def doubles(body: Json) -> None:
    for key in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        if key in body:
            body[key] = float(body[key])


def one_text(body: Json) -> None:
    for message in body.get("messages", ()):
        match message.get("content"):
            case [{"type": "text", "text": said}]:
                message["content"] = said


def stop_is_an_array(body: Json) -> None:
    if isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]


def one_limit(body: Json) -> None:
    if "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")


def one_spelling(body: Json) -> None:
    dotted = body.pop("extra_body.chat_template_kwargs", None)
    nested = body.pop("extra_body", {}).get("chat_template_kwargs")
    for spelling in (dotted, nested):
        if spelling is not None:
            body["chat_template_kwargs"] = spelling


def no_text_format(body: Json) -> None:
    if body.get("response_format") == {"type": "text"}:
        del body["response_format"]


def arguments_are_there(body: Json) -> None:
    for message in body.get("messages", ()):
        for call in message.get("tool_calls", ()):
            call["function"].setdefault("arguments", "{}")


def only_streams_say_so(body: Json) -> None:
    drop(body, "stream", unless=bool)
    if not body.get("stream_options", {}).get("include_usage"):
        drop(body, "stream_options")


RULES: dict[str, Callable[[Json], None]] = {
    "null": no_null,
    "unknown": no_unknown,
    "integer": integral,
    "number": doubles,
    "content": one_text,
    "stop": stop_is_an_array,
    "max_tokens": one_limit,
    "chat_template_kwargs": one_spelling,
    "response_format": no_text_format,
    "modalities": lambda body: drop(body, "modalities"),
    "arguments": arguments_are_there,
    "stream": only_streams_say_so,
    "empty": no_empty,
}


def canonical(body: Json) -> Json:
    body = copy.deepcopy(body)
    for rule in RULES.values():
        rule(body)
    return body


def there_and_back(body: Json) -> Json:
    request, options, _ = request_from_json(json.dumps(body).encode())
    return as_json(request, options)


def as_json(request: pb.ChatCompletionRequest, options: RequestOptions | None = None) -> Json:
    result: Json = json.loads(orjson.dumps(request_to_json(request, options)))
    return result


def test_the_rules_of_this_test_are_those_of_the_table() -> None:
    assert set(RULES) == set(CANONICAL)


@settings(max_examples=300, deadline=None)
@given(requests)
def test_a_request_comes_back_in_canonical_form(body: Json) -> None:
    assert there_and_back(body) == canonical(body)


@settings(max_examples=100, deadline=None)
@given(requests)
def test_the_canonical_form_comes_back_as_it_is(body: Json) -> None:
    body = canonical(body)

    assert there_and_back(body) == body


@settings(max_examples=300, deadline=None)
@given(pb_requests, st.sampled_from([RequestOptions(), RequestOptions(True), (True, True)]))
def test_a_message_comes_back_as_it_is(
    request: pb.ChatCompletionRequest, options: tuple[bool, bool]
) -> None:
    asked = RequestOptions(*options)

    body = orjson.dumps(request_to_json(request, asked))

    assert request_from_json(body) == (request, asked, ())


def test_every_field_of_the_message_is_tried() -> None:
    headers = {"idempotency_key", "last_chunk_sequence"}  # in REST they are no fields
    tried = {field.name for field in pb.ChatCompletionRequest.DESCRIPTOR.fields} - headers

    body = as_json(
        request_from_json(
            json.dumps(
                {
                    "model": "m",
                    "messages": [{"role": "user", "content": "x"}],
                    "temperature": 1,
                    "top_p": 1,
                    "max_tokens": 1,
                    "frequency_penalty": 1,
                    "presence_penalty": 1,
                    "stop": ["x"],
                    "seed": 1,
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                    "tool_choice": "auto",
                    "parallel_tool_calls": True,
                    "response_format": {"type": "json_object"},
                    "reasoning_effort": "low",
                    "chat_template_kwargs": {},
                    "logprobs": True,
                    "top_logprobs": 1,
                    "logit_bias": {"1": 1},
                    "n": 1,
                    "prompt_cache_key": "k",
                    "user": "u",
                    "metadata": {"a": "b"},
                    "service_tier": "auto",
                    "store": True,
                    "llmbase": {"continuation": "allow"},
                }
            ).encode()
        )[0]
    )

    assert set(body) == tried
