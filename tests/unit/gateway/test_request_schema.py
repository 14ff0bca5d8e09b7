"""Every field of OpenAI's request schema is mapped, ignored or refused: none is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.transcoding import messages, request, tools
from gateway.transcoding.fields import BadField, Field, Table
from gateway.transcoding.request import request_from_json
from tests.support.shared import shared_json

CALL = {"id": "c", "type": "function", "function": {"name": "f"}}

# Kinds that are refused by their `type`, before any of their fields are looked at.
REFUSED_KINDS = {
    "messages[].content[].input_audio": {"type": "input_audio"},
    "messages[].content[].file": {"type": "file"},
    "tool_choice.allowed_tools": {"type": "allowed_tools"},
    "tool_choice.custom": {"type": "custom"},
}


def _tables() -> Iterator[Table]:
    for module in (messages, tools, request):
        for value in vars(module).values():
            if isinstance(value, Table):
                yield value
            elif isinstance(value, dict):
                yield from (table for table in value.values() if isinstance(table, Table))


def _rows() -> dict[str, Field]:
    """Every row there is, by its path."""
    return {table.where + key: row for table in _tables() for key, row in table.rows.items()}


def _paths(schema: Any, defs: dict[str, Any], rows: dict[str, Field], at: str) -> Iterator[str]:
    """The paths of all properties; below one that is not mapped, nothing is looked for."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    for key, inner in schema.get("properties", {}).items():
        path = at + key
        yield path
        if path in rows and rows[path].fate == "mapped":
            yield from _paths(inner, defs, rows, path + ".")
    if "items" in schema:
        yield from _paths(schema["items"], defs, rows, at.removesuffix(".") + "[].")
    for word in ("allOf", "anyOf", "oneOf"):
        for variant in schema.get(word, ()):
            yield from _paths(variant, defs, rows, at)


def _schema_paths() -> set[str]:
    schema = shared_json("openapi", "chat-completions.wire.schema.json")
    return set(_paths({"$ref": schema["x-roots"]["request"]}, schema["$defs"], _rows(), ""))


def test_every_field_of_the_schema_has_a_row() -> None:
    paths = _schema_paths()

    assert len(paths) > 60  # the walk has found the messages' inside, too
    assert {path for path in paths if path not in _rows()} == set(REFUSED_KINDS)


def test_every_row_is_a_field_of_the_schema_or_one_of_ours() -> None:
    ours = {
        "chat_template_kwargs",
        "extra_body",
        "extra_body.chat_template_kwargs",
        "chat_template_kwargs.enable_thinking",
        "chat_template_kwargs.thinking",
        "chat_template_kwargs.preserve_thinking",
        "llmbase",
        "llmbase.continuation",
        "messages[].annotations",  # of answers, which come back as history
        "messages[].provider_state",
        "messages[].reasoning_content",
        "messages[].tool_calls[].provider_state",
    }

    assert set(_rows()) - _schema_paths() == ours


def test_ignored_and_refused_rows_say_why() -> None:
    fates = {path: row for path, row in _rows().items() if row.fate != "mapped"}

    assert {row.fate for row in fates.values()} == {"ignored", "refused"}
    assert all(row.note for row in fates.values())


@pytest.mark.parametrize("path", sorted(p for p, row in _rows().items() if row.fate == "ignored"))
def test_an_ignored_field_is_named_and_changes_nothing(path: str) -> None:
    bare, _, _ = request_from_json(json.dumps(_body_with(path, None)).encode())

    request, _, ignored = request_from_json(json.dumps(_body_with(path, {"any": "thing"})).encode())

    assert request == bare
    assert ignored == (path,)


@pytest.mark.parametrize("path", sorted(p for p, row in _rows().items() if row.fate == "refused"))
def test_a_refused_field_is_refused_by_name_unless_it_is_null(path: str) -> None:
    request_from_json(json.dumps(_body_with(path, None)).encode())

    with pytest.raises(BadField) as caught:
        request_from_json(json.dumps(_body_with(path, {})).encode())

    assert caught.value.param == path.replace("[]", "[0]")
    assert caught.value.message == _rows()[path].note


@pytest.mark.parametrize("path", REFUSED_KINDS)
def test_a_refused_kind_is_refused_by_its_type(path: str) -> None:
    place, _, _ = path.rpartition(".")
    value = REFUSED_KINDS[path]
    body = (
        {"messages": [{"role": "user", "content": [value]}]}
        if place == "messages[].content[]"
        else {place: value}
    )

    with pytest.raises(BadField) as caught:
        request_from_json(json.dumps(body).encode())

    assert caught.value.param == place.replace("[]", "[0]") + ".type"


def _body_with(path: str, value: Any) -> dict[str, Any]:
    """A request that is valid but for `value` at `path`."""
    part: dict[str, Any] = {"type": "text", "text": "x"}
    call: dict[str, Any] = {**CALL}
    tool: dict[str, Any] = {"type": "function", "function": {"name": "f"}}
    message: dict[str, Any] = {"role": "assistant", "content": [part], "tool_calls": [call]}
    options: dict[str, Any] = {"include_usage": True}
    body: dict[str, Any] = {
        "messages": [message],
        "tools": [tool],
        "stream": True,
        "stream_options": options,
    }
    places = {
        "": body,
        "messages[]": message,
        "messages[].content[]": part,
        "messages[].tool_calls[]": call,
        "tools[]": tool,
        "stream_options": options,
    }
    place, _, key = path.rpartition(".")
    places[place][key] = value
    return body
