"""What a request says about tools and the form of the answer: tables of rows. Pure."""

from __future__ import annotations

from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import BadField, Reading, Table, pick
from gateway.transcoding.rows import (
    bare_text,
    constant,
    flag,
    inline,
    json_text,
    nested,
    refused,
    text,
)

_MODES = {
    "auto": pb.ToolChoice.MODE_AUTO,
    "none": pb.ToolChoice.MODE_NONE,
    "required": pb.ToolChoice.MODE_REQUIRED,
}
_MODE_WORDS = {mode: spelling for spelling, mode in _MODES.items()}

_FUNCTION = Table(
    "tools[].function.",
    {
        "name": bare_text("name"),
        "description": text("description"),
        "parameters": json_text("parameters"),
        "strict": flag("strict"),
    },
)
TOOL = Table(
    "tools[].",
    {
        "type": constant("function"),
        "function": inline(_FUNCTION),
        "custom": refused("is not supported: only tools of the type function are"),
    },
    required=("type", "function"),
)
_CHOSEN_FUNCTION = Table("tool_choice.function.", {"name": text("function")}, required=("name",))
_CHOICES = {
    "function": Table(
        "tool_choice.",
        {"type": constant("function"), "function": inline(_CHOSEN_FUNCTION)},
        required=("function",),
    )
}
TOOL_CHOICE = {"anyOf": [{"type": "string", "enum": [*_MODES]}, *_CHOICES.values()]}


def read_tool_choice(request: Any, value: Any, reading: Reading) -> None:
    """Read a rule or the name of a function."""
    if type(value) is not str:
        pick(value, _CHOICES).read(request.tool_choice, value, reading)
    elif value in _MODES:
        request.tool_choice.mode = _MODES[value]
    else:
        raise BadField("", "must be auto, none, required or an object that names a function")


def write_tool_choice(request: Any) -> str | dict[str, Any] | None:
    """Return the rule, or the object that names a function."""
    choice = request.tool_choice
    if choice.HasField("function"):
        return _CHOICES["function"].write(choice)
    return _MODE_WORDS.get(choice.mode)


_JSON_SCHEMA = Table(
    "response_format.json_schema.",
    {
        "name": bare_text("name"),
        "description": text("description"),
        "schema": json_text("schema"),
        "strict": flag("strict"),
    },
)
_FORMATS = {
    "text": Table("response_format.", {"type": constant("text")}),
    "json_object": Table("response_format.", {"type": constant("json_object")}),
    "json_schema": Table(
        "response_format.",
        {"type": constant("json_schema"), "json_schema": nested("json_schema", _JSON_SCHEMA)},
        required=("json_schema",),
    ),
}
RESPONSE_FORMAT = {"oneOf": [*_FORMATS.values()]}


def read_response_format(request: Any, value: Any, reading: Reading) -> None:
    """Read the form of the answer; plain text is what an absent one means."""
    table = pick(value, _FORMATS)
    if table is _FORMATS["text"]:
        table.read(None, value, reading)
        return
    form = request.response_format
    table.read(form, value, reading)
    if table is _FORMATS["json_object"]:
        form.json_object.SetInParent()


def write_response_format(request: Any) -> dict[str, Any] | None:
    """Return the form of the answer by its type."""
    kind = request.response_format.WhichOneof("format")
    return _FORMATS[kind].write(request.response_format) if kind else None
