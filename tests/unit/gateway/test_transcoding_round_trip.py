"""JSON -> message -> JSON is the canonical form; message -> JSON -> message changes nothing."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.messages import ROLES
from gateway.transcoding import (
    CANONICAL,
    EFFORTS,
    RequestOptions,
    request_from_json,
    request_to_json,
)

Json = dict[str, Any]

text = st.text(st.characters(codec="utf-8"), max_size=8)
flags = st.booleans()
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
int32 = st.integers(-(2**31), 2**31 - 1)
integers = int32 | int32.map(float)
base64s = st.binary(max_size=6).map(lambda state: base64.b64encode(state).decode())
anything = st.recursive(
    st.none() | flags | int32 | text, lambda inner: st.lists(inner, max_size=2), max_leaves=4
)
schemas = st.dictionaries(text, anything, max_size=2)


def objects(required: Json, optional: Json) -> st.SearchStrategy[Json]:
    """Objects in which any optional key may be absent, null, or accompanied by an unknown one."""
    nullable = {key: st.none() | value for key, value in optional.items()}
    return st.fixed_dictionaries(required, optional=nullable | {"x_unknown": anything})


# --- requests as JSON -------------------------------------------------------------------------

text_parts = objects({"type": st.just("text"), "text": text}, {})
image_urls = objects({}, {"url": text, "detail": text})
image_parts = objects({"type": st.just("image_url"), "image_url": image_urls}, {})
refusal_parts = objects({"type": st.just("refusal"), "refusal": text}, {})
called = objects({}, {"name": text, "arguments": text})
calls = objects(
    {"type": st.just("function"), "function": called}, {"id": text, "provider_state": base64s}
)
messages = objects(
    {},
    {
        "role": st.sampled_from(list(ROLES)),
        "content": text
        | st.lists(text_parts | image_parts | refusal_parts, min_size=1, max_size=3),
        "name": text,
        "tool_calls": st.lists(calls, max_size=2),
        "tool_call_id": text,
        "reasoning_content": text,
        "refusal": text,
        "provider_state": base64s,
        "annotations": anything,
    },
)
functions = objects({}, {"name": text, "description": text, "parameters": schemas, "strict": flags})
tools = objects({"type": st.just("function"), "function": functions}, {})
named_choices = objects({"type": st.just("function"), "function": objects({"name": text}, {})}, {})
json_schemas = objects({}, {"name": text, "description": text, "schema": schemas, "strict": flags})
formats = objects({"type": st.sampled_from(["text", "json_object"])}, {}) | objects(
    {"type": st.just("json_schema"), "json_schema": json_schemas}, {}
)
switches = objects({}, {"enable_thinking": flags, "thinking": flags, "preserve_thinking": flags})
limits = st.fixed_dictionaries({}, optional={"max_tokens": integers}) | objects(
    {}, {"max_tokens": integers, "max_completion_tokens": integers}
)
template = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"chat_template_kwargs": switches}),
    st.fixed_dictionaries({"extra_body.chat_template_kwargs": switches}),
    st.fixed_dictionaries({"extra_body": objects({"chat_template_kwargs": switches}, {})}),
)
streaming = st.one_of(
    st.fixed_dictionaries({}, optional={"stream": flags | st.none()}),
    objects({"stream": st.just(True)}, {"stream_options": objects({}, {"include_usage": flags})}),
)
plain = objects(
    {},
    {
        "model": text,
        "messages": st.lists(messages, max_size=3),
        "temperature": numbers,
        "top_p": numbers,
        "frequency_penalty": numbers,
        "presence_penalty": numbers,
        "stop": text | st.lists(text, max_size=3),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "tools": st.lists(tools, max_size=2),
        "tool_choice": st.sampled_from(["auto", "none", "required"]) | named_choices,
        "parallel_tool_calls": flags,
        "response_format": formats,
        "reasoning_effort": st.sampled_from(list(EFFORTS)),
        "logprobs": flags,
        "top_logprobs": integers,
        "logit_bias": st.dictionaries(text, integers, max_size=2),
        "n": integers,
        "prompt_cache_key": text,
        "user": text,
        "metadata": st.dictionaries(text, text, max_size=2),
        "service_tier": text,
        "store": flags,
        "verbosity": anything,
        "prediction": anything,
        "modalities": st.just(["text"]),
    },
)
requests = st.tuples(plain, limits, template, streaming).map(
    lambda parts: {key: value for part in parts for key, value in part.items()}
)


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


# --- requests as messages ---------------------------------------------------------------------


def built(message: Callable[..., Any], **fields: Any) -> st.SearchStrategy[Any]:
    """Messages in which any field may be absent."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: message(**given))


schema_texts = schemas.map(lambda schema: json.dumps(schema, indent=1))
content_parts = (
    text.map(lambda value: pb.ContentPart(text=value))
    | text.map(lambda value: pb.ContentPart(refusal=value))
    | built(pb.ImageUrl, url=text, detail=text).map(lambda url: pb.ContentPart(image_url=url))
)
pb_messages = built(
    pb.Message,
    role=st.sampled_from(list(ROLES.values())),
    content=st.lists(content_parts, max_size=3),
    name=text,
    tool_calls=st.lists(
        built(pb.ToolCall, id=text, name=text, arguments=text, provider_state=st.binary()),
        max_size=2,
    ),
    tool_call_id=text,
    reasoning_content=text,
    refusal=text,
    provider_state=st.binary(),
)
modes = st.sampled_from([pb.ToolChoice.MODE_AUTO, pb.ToolChoice.MODE_NONE])
pb_choices = modes.map(lambda mode: pb.ToolChoice(mode=mode)) | text.map(
    lambda name: pb.ToolChoice(function=name)
)
pb_formats = st.just(pb.ResponseFormat(json_object=pb.ResponseFormat.JsonObject())) | built(
    pb.JsonSchema, name=text, description=text, schema=schema_texts, strict=flags
).map(lambda schema: pb.ResponseFormat(json_schema=schema))
pb_requests = built(
    pb.ChatCompletionRequest,
    model=text,
    messages=st.lists(pb_messages, max_size=3),
    temperature=st.floats(allow_nan=False, allow_infinity=False),
    top_p=st.floats(allow_nan=False, allow_infinity=False),
    max_tokens=int32,
    frequency_penalty=st.floats(allow_nan=False, allow_infinity=False),
    presence_penalty=st.floats(allow_nan=False, allow_infinity=False),
    stop=st.lists(text, max_size=3),
    seed=st.integers(-(2**63), 2**63 - 1),
    tools=st.lists(
        built(pb.Tool, name=text, description=text, parameters=schema_texts, strict=flags),
        max_size=2,
    ),
    tool_choice=pb_choices,
    parallel_tool_calls=flags,
    response_format=pb_formats,
    reasoning_effort=st.sampled_from(list(EFFORTS.values())),
    chat_template_kwargs=built(
        pb.ChatTemplateKwargs, enable_thinking=flags, thinking=flags, preserve_thinking=flags
    ),
    logprobs=flags,
    top_logprobs=int32,
    logit_bias=st.dictionaries(text, int32, max_size=2),
    n=int32,
    prompt_cache_key=text,
    user=text,
    metadata=st.dictionaries(text, text, max_size=2),
    service_tier=text,
    store=flags,
)


@settings(max_examples=300, deadline=None)
@given(pb_requests, st.sampled_from([RequestOptions(), RequestOptions(True), (True, True)]))
def test_a_message_comes_back_as_it_is(
    request: pb.ChatCompletionRequest, options: tuple[bool, bool]
) -> None:
    asked = RequestOptions(*options)

    body = orjson.dumps(request_to_json(request, asked))

    assert request_from_json(body) == (request, asked, ())


def test_every_field_of_the_message_is_tried() -> None:
    tried = {field.name for field in pb.ChatCompletionRequest.DESCRIPTOR.fields}

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
                }
            ).encode()
        )[0]
    )

    assert set(body) == tried
