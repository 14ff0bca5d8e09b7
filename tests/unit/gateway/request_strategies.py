"""Any request at all, as JSON and as a message."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.messages import ROLES
from gateway.transcoding.request import EFFORTS

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
