"""Values that are read from their text: what has JSON schemas in it, which stay as written. Pure.

A schema is text in the proto: parsed and written again, its big integers and its spelling would not
be the same. And callers send the same tools with call after call: what was read of such a text is
kept, which is most of what reading them costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgspec
import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import MAX_DEPTH, BadField, Field, Reading, check_depth

# What is kept: texts of at most so many bytes, and so many of them. A coding agent's tools have
# some 60 KB.
_LARGEST_KEPT = 64 * 1024
_KEPT = 64

_ABSENT = msgspec.Raw(b"")


class _Function(msgspec.Struct, gc=False):
    parameters: msgspec.Raw = _ABSENT


class _Tool(msgspec.Struct, gc=False):
    function: _Function | None = None


class _JsonSchema(msgspec.Struct, gc=False):
    schema: msgspec.Raw = _ABSENT


class _ResponseFormat(msgspec.Struct, gc=False):
    json_schema: _JsonSchema | None = None


_tools = msgspec.json.Decoder(list[_Tool]).decode
_response_format = msgspec.json.Decoder(_ResponseFormat).decode


def as_written(
    row: Field, keep_schemas: Callable[[pb.ChatCompletionRequest, bytes], None]
) -> Field:
    """Return a row of the request that is given the text of its value, as bytes, instead of it.

    `row` reads the value itself, `keep_schemas` the schemas in its text.
    """

    def read_text(text: bytes) -> tuple[bytes, Iterable[str]]:
        request, reading = pb.ChatCompletionRequest(), Reading({})
        row.read(request, orjson.loads(text), reading)
        keep_schemas(request, text)
        return request.SerializeToString(), tuple(reading.ignored)

    known = lru_cache(_KEPT)(read_text)

    def read(request: Any, text: bytes, reading: Reading) -> None:
        found, ignored = (known if len(text) <= _LARGEST_KEPT else read_text)(text)
        request.MergeFromString(found)
        reading.ignored.update(dict.fromkeys(ignored))

    return Field(read, row.write, shape=row.shape)


def keep_parameters(request: pb.ChatCompletionRequest, text: bytes) -> None:
    """Fill in the schemas of the tools, which have been read from this text before.

    Raises BadField for a schema that nests too deep.
    """
    for i, (tool, cut) in enumerate(zip(request.tools, _decoded(_tools, text), strict=True)):
        try:
            if cut.function and (schema := _text(cut.function.parameters, above=4)):
                tool.parameters = schema
        except BadField as bad:
            raise bad.below("parameters").below("function").below(i) from None


def keep_schema(request: pb.ChatCompletionRequest, text: bytes) -> None:
    """Fill in the schema of the response format, as `keep_parameters` does those of tools."""
    if request.response_format.WhichOneof("format") != "json_schema":
        return
    if form := _decoded(_response_format, text).json_schema:
        try:
            if schema := _text(form.schema, above=3):
                request.response_format.json_schema.schema = schema
        except BadField as bad:
            raise bad.below("schema").below("json_schema") from None


def _decoded(decode: Callable[[bytes], Any], text: bytes) -> Any:
    try:
        return decode(text)
    except msgspec.DecodeError:
        # A duplicate that does not count can still be of a wrong type: go on without it.
        return decode(orjson.dumps(orjson.loads(text)))


def _text(raw: msgspec.Raw, *, above: int) -> str:
    """Return the text of a schema inside `above` objects and arrays; "" where there is none."""
    text = str(raw, "utf-8")
    # Counting is much cheaper than walking, and nearly always enough.
    if text.count("{") + text.count("[") > MAX_DEPTH - above:
        check_depth(orjson.loads(text), above)
    return "" if text == "null" else text
