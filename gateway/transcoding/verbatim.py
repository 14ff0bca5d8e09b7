"""Cuts the JSON schemas out of a request's body as they were written. Pure.

A schema is text in the proto: parsed and written again, its big integers and its spelling would not
be the same. The body has been read before, so it is known to be well-formed and of the right types.
"""

from __future__ import annotations

import msgspec
import orjson
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import MAX_DEPTH, BadField, check_depth

_ABSENT = msgspec.Raw(b"")


class _Function(msgspec.Struct, gc=False):
    parameters: msgspec.Raw = _ABSENT


class _Tool(msgspec.Struct, gc=False):
    function: _Function | None = None


class _JsonSchema(msgspec.Struct, gc=False):
    schema: msgspec.Raw = _ABSENT


class _ResponseFormat(msgspec.Struct, gc=False):
    json_schema: _JsonSchema | None = None


class _Body(msgspec.Struct, gc=False):
    tools: list[_Tool] | None = None
    response_format: _ResponseFormat | None = None


_decode = msgspec.json.Decoder(_Body).decode


def keep_schemas(request: pb.ChatCompletionRequest, body: bytes) -> None:
    """Fill in the schemas of the request's tools and of its response format.

    Raises BadField for a schema that nests too deep.
    """
    try:
        texts = _decode(body)
    except RecursionError:
        raise BadField("", f"The body must not nest deeper than {MAX_DEPTH} levels.") from None
    except msgspec.DecodeError:
        # A duplicate that does not count can still be of a wrong type: go on without it.
        texts = _decode(orjson.dumps(orjson.loads(body)))
    # A slice is the quickest way through.
    for i, (tool, cut) in enumerate(zip(request.tools[:], texts.tools or (), strict=True)):
        try:
            if cut.function and (schema := _text(cut.function.parameters, above=4)):
                tool.parameters = schema
        except BadField as bad:
            raise bad.below(f"tools[{i}].function.parameters") from None
    if texts.response_format and (form := texts.response_format.json_schema):
        try:
            if schema := _text(form.schema, above=3):
                request.response_format.json_schema.schema = schema
        except BadField as bad:
            raise bad.below("response_format.json_schema.schema") from None


def _text(raw: msgspec.Raw, *, above: int) -> str:
    """Return the text of a schema inside `above` objects and arrays; "" where there is none."""
    text = str(raw, "utf-8")
    # Counting is much cheaper than walking, and nearly always enough.
    if text.count("{") + text.count("[") > MAX_DEPTH - above:
        check_depth(orjson.loads(text), above)
    return "" if text == "null" else text
