"""Values that are read from their text: what has JSON schemas in it, which stay as written. Pure.

A schema is text in the proto: parsed and written again, its big integers and its spelling would not
be the same. And callers send the same tools with call after call: what was read of such a text is
kept, which is most of what reading them costs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import MAX_DEPTH, BadField, Field, Reading, check_depth

# What is kept: texts of at most so many bytes, of which so few keys are left out, and so many of
# them. A coding agent's tools have some 60 KB.
_LARGEST_KEPT = 64 * 1024
_MOST_IGNORED = 32
_KEPT = 64

_Found = tuple[bytes, tuple[str, ...]]  # a request that has it, serialized; what was left out

_ABSENT = msgspec.Raw(b"")


class _NotKept(Exception):
    """What was found, where that is much more than its text: a cache does not keep exceptions."""

    def __init__(self, found: _Found) -> None:
        super().__init__()
        self.found = found


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
    """Return a row of the request that is read as text, where `row` reads the value.

    `keep_schemas` fills in the schemas, from the same text.
    """

    def read_text(text: bytes) -> _Found:
        request, reading = pb.ChatCompletionRequest(), Reading({})
        row.read(request, orjson.loads(text), reading)
        keep_schemas(request, text)
        return request.SerializeToString(), tuple(reading.ignored)

    @lru_cache(_KEPT)
    def kept(text: bytes) -> _Found:
        found = read_text(text)
        if len(found[1]) > _MOST_IGNORED:
            raise _NotKept(found)
        return found

    def read(request: Any, text: bytes, reading: Reading) -> None:
        try:
            found, ignored = (kept if len(text) <= _LARGEST_KEPT else read_text)(text)
        except _NotKept as it:
            found, ignored = it.found
        request.MergeFromString(found)
        for name in ignored:  # mostly none
            reading.ignored[name] = None

    return Field(read, row.write, shape=row.shape, as_text=True)


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
        try:
            return decode(orjson.dumps(orjson.loads(text)))
        except orjson.JSONEncodeError:  # which writes 254 levels
            raise BadField("", f"must not nest deeper than {MAX_DEPTH} levels") from None


def _text(raw: msgspec.Raw, *, above: int) -> str:
    """Return the text of a schema inside `above` objects and arrays; "" where there is none."""
    text = str(raw, "utf-8")
    # Counting is much cheaper than walking, and nearly always enough.
    if text.count("{") + text.count("[") > MAX_DEPTH - above:
        check_depth(orjson.loads(text), above)
    return "" if text == "null" else text
