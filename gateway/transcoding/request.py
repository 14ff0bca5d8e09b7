"""OpenAI's chat request as JSON <-> llmbase.v1: one table, read both ways. Pure.

What no message can hold is refused here, by its path; ranges and rules between fields are the
service's. A null is absent, of a duplicate key the last wins, an unknown key is left out and named.

A request that went through a message comes back in the canonical form, which `CANONICAL` states.
The fields are OpenAI's (API version 2.3.0) and those of the REST contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.as_written import as_written, keep_parameters, keep_schema
from gateway.transcoding.body import BROKEN, values_of, why
from gateway.transcoding.fields import BadField, Field, Reading, Table
from gateway.transcoding.messages import MESSAGES
from gateway.transcoding.rows import (
    INT32,
    INT64,
    absent,
    as_integer,
    bare_text,
    flag,
    ignored,
    inline,
    integer,
    integers,
    nested,
    number,
    read_only,
    refused,
    repeated,
    text,
    word,
)
from gateway.transcoding.tools import (
    RESPONSE_FORMAT,
    TOOL,
    TOOL_CHOICE,
    read_response_format,
    read_tool_choice,
    write_response_format,
    write_tool_choice,
)

# What JSON -> message -> JSON changes, field by field; everything else comes back as it was.
CANONICAL: Mapping[str, str] = {
    "null": "any key with a null value is absent",
    "unknown": "unknown and ignored keys are absent",
    "empty": "an empty array of messages, tools, tool_calls or stop, an empty object of metadata "
    "or logit_bias, an empty model, id, function name, url or provider_state is absent",
    "integer": "an integral float where an integer is wanted is that integer",
    "number": "an integer where a number is wanted is the nearest double",
    "content": "an array of exactly one text part is the string; the array stays in other cases",
    "stop": "a string is an array of one",
    "max_tokens": "max_completion_tokens is max_tokens, and wins over it",
    "chat_template_kwargs": "the spellings extra_body.chat_template_kwargs and "
    "extra_body: {chat_template_kwargs} are the top-level key",
    "response_format": "the type text is absent",
    "modalities": "is absent: text is what every answer is",
    "arguments": "absent arguments of a tool call are {}",
    "stream": "false is absent, as are stream_options that ask for nothing",
}

EFFORTS = {
    "none": pb.REASONING_EFFORT_NONE,
    "minimal": pb.REASONING_EFFORT_MINIMAL,
    "low": pb.REASONING_EFFORT_LOW,
    "medium": pb.REASONING_EFFORT_MEDIUM,
    "high": pb.REASONING_EFFORT_HIGH,
    "xhigh": pb.REASONING_EFFORT_XHIGH,
    "max": pb.REASONING_EFFORT_MAX,
}

CONTINUATIONS = {
    "allow": pb.ChatCompletionRequest.CONTINUATION_ALLOW,
    "deny": pb.ChatCompletionRequest.CONTINUATION_DENY,
}


class RequestOptions(NamedTuple):
    """What the REST door itself acts on: whether to stream, and usage in a chunk of its own."""

    stream: bool = False
    include_usage: bool = False


_WHOLE = RequestOptions()


def request_from_json(
    body: bytes,
) -> tuple[pb.ChatCompletionRequest, RequestOptions, tuple[str, ...]]:
    """Return the request, the door's own options and the names of the fields that were left out.

    Raises BadField for everything that no message can hold, broken JSON included.
    """
    request = pb.ChatCompletionRequest()
    try:
        values = values_of(body, _AS_TEXT)
        reading = Reading(values)
        REQUEST.read(request, values, reading)
    except BROKEN as error:
        raise why(body, error) from None
    if values.get("stream_options") is not None and not reading.stream:
        raise BadField("stream_options", "is only allowed when stream is true")
    options = _WHOLE
    if reading.stream:
        options = RequestOptions(stream=True, include_usage=reading.include_usage)
    return request, options, tuple(reading.ignored)


def request_to_json(
    request: pb.ChatCompletionRequest, options: RequestOptions | None = None
) -> dict[str, Any]:
    """Return the request in canonical form, to be serialized by orjson.

    JSON schemas are orjson fragments, so that their text stays as it is.
    """
    body = REQUEST.write(request)
    if options is not None and options.stream:
        body["stream"] = True
        if options.include_usage:
            body["stream_options"] = {"include_usage": True}
    return body


def _read_stop(request: Any, value: Any, reading: Reading) -> None:
    stops = [value] if type(value) is str else value
    if type(stops) is not list or not all(type(stop) is str for stop in stops):
        raise BadField("", "must be a string or an array of strings")
    request.stop.extend(stops)


def _read_max_tokens(request: Any, value: Any, reading: Reading) -> None:
    limit = as_integer(value, INT32)
    if reading.body.get("max_completion_tokens") is None:
        request.max_tokens = limit


def _read_logit_bias(request: Any, value: Any, reading: Reading) -> None:
    if type(value) is not dict:
        raise BadField("", "must be an object of token ids and integers")
    for token, bias in value.items():
        try:
            request.logit_bias[token] = as_integer(bias, INT32)
        except BadField as bad:
            raise bad.below(token) from None


def _read_metadata(request: Any, value: Any, reading: Reading) -> None:
    if type(value) is not dict:
        raise BadField("", "must be an object of strings")
    for key, label in value.items():
        if type(label) is not str:
            raise BadField("", "must be a string").below(key)
        request.metadata[key] = label


def _read_modalities(request: Any, value: Any, reading: Reading) -> None:
    if value != ["text"]:
        raise BadField("", 'must be ["text"]: llmbase answers in text')


def _read_stream(request: Any, value: Any, reading: Reading) -> None:
    if type(value) is not bool:
        raise BadField("", "must be true or false")
    reading.stream = value


def _read_include_usage(request: Any, value: Any, reading: Reading) -> None:
    if type(value) is not bool:
        raise BadField("", "must be true or false")
    reading.include_usage = value


_STOP = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}
_STREAM_OPTIONS = Table(
    "stream_options.",
    {
        "include_usage": Field(_read_include_usage, absent, shape={"type": "boolean"}),
        "include_obfuscation": ignored("llmbase does not pad its chunks"),
    },
)
_TEMPLATE_SWITCHES = Table(
    "chat_template_kwargs.",
    {
        "enable_thinking": flag("enable_thinking"),
        "thinking": flag("thinking"),
        "preserve_thinking": flag("preserve_thinking"),
    },
)
_KWARGS = nested("chat_template_kwargs", _TEMPLATE_SWITCHES)
_LLMBASE = Table("llmbase.", {"continuation": word("continuation", CONTINUATIONS)})
_EXTRA_BODY = Table("extra_body.", {"chat_template_kwargs": _KWARGS})

REQUEST = Table(
    "",
    {
        "model": bare_text("model"),
        "messages": MESSAGES,
        "temperature": number("temperature"),
        "top_p": number("top_p"),
        "max_tokens": Field(
            _read_max_tokens,
            lambda r: r.max_tokens if r.HasField("max_tokens") else None,
            shape=integers(),
        ),
        "max_completion_tokens": read_only(integer("max_tokens")),
        "frequency_penalty": number("frequency_penalty"),
        "presence_penalty": number("presence_penalty"),
        "stop": Field(_read_stop, lambda r: list(r.stop) or None, shape=_STOP),
        "seed": integer("seed", INT64),
        "tools": as_written(repeated("tools", TOOL), keep_parameters),
        "tool_choice": Field(read_tool_choice, write_tool_choice, shape=TOOL_CHOICE),
        "parallel_tool_calls": flag("parallel_tool_calls"),
        "response_format": as_written(
            Field(read_response_format, write_response_format, shape=RESPONSE_FORMAT), keep_schema
        ),
        "reasoning_effort": word("reasoning_effort", EFFORTS),
        "chat_template_kwargs": _KWARGS,
        "extra_body.chat_template_kwargs": read_only(_KWARGS),
        "extra_body": read_only(inline(_EXTRA_BODY)),
        "logprobs": flag("logprobs"),
        "top_logprobs": integer("top_logprobs"),
        "logit_bias": Field(
            _read_logit_bias,
            lambda r: dict(r.logit_bias) or None,
            shape={"type": "object", "additionalProperties": integers()},
        ),
        "n": integer("n"),
        "prompt_cache_key": text("prompt_cache_key"),
        "user": text("user"),
        "metadata": Field(
            _read_metadata,
            lambda r: dict(r.metadata) or None,
            shape={"type": "object", "additionalProperties": {"type": "string"}},
        ),
        "service_tier": text("service_tier"),
        "store": flag("store"),
        "llmbase": nested("llmbase", _LLMBASE),
        "stream": Field(_read_stream, absent, shape={"type": "boolean"}),
        "stream_options": read_only(inline(_STREAM_OPTIONS)),
        "modalities": Field(_read_modalities, absent, shape={"type": "array", "const": ["text"]}),
        "verbosity": ignored("few models know it; say it in a system message"),
        "prediction": ignored("it would only make the answer faster"),
        "safety_identifier": ignored("llmbase identifies callers by their keys"),
        "prompt_cache_options": ignored("prompt caches are the provider's own"),
        "prompt_cache_retention": ignored("prompt caches are the provider's own"),
        "audio": refused("is not supported: llmbase has no spoken answers"),
        "moderation": refused("is not supported: llmbase moderates nothing"),
        "web_search_options": refused("is not supported: offer a search tool in tools"),
        "functions": refused("is OpenAI's deprecated form: use tools"),
        "function_call": refused("is OpenAI's deprecated form: use tool_choice"),
    },
)
_AS_TEXT = frozenset(key for key, row in REQUEST.rows.items() if row.as_text)
