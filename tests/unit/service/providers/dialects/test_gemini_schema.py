from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from service.providers.dialects import gemini_schema
from tests.support.shared import shared_json


def rewritten(schema: Any) -> Any:
    return json.loads(gemini_schema.rewrite(json.dumps(schema)))


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "object",  "properties": {"a": {"maximum": 18446744073709551617}}}',
        '{"$schema":"x","allOff":1}',
        "{}",
    ],
)
def test_a_schema_in_supported_keywords_keeps_every_character(text: str) -> None:
    assert gemini_schema.rewrite(text) == text


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"const": "a"}, {"enum": ["a"]}),
        ({"const": -1.5}, {"enum": [-1.5]}),
        ({"const": True}, {"const": True}),
        ({"const": None}, {"const": None}),
        ({"const": "a", "enum": ["a", "b"]}, {"const": "a", "enum": ["a", "b"]}),
        (
            {"allOf": [{"type": "string"}], "title": "T"},
            {"anyOf": [{"type": "string"}], "title": "T"},
        ),
        ({"allOf": [{}, {}]}, {"allOf": [{}, {}]}),
        ({"allOf": [{}], "anyOf": [{}]}, {"allOf": [{}], "anyOf": [{}]}),
        ({"$ref": "#/$defs/A", "$defs": {"A": {}}}, {"$ref": "#/$defs/A", "$defs": {"A": {}}}),
        (
            {"$ref": "#/$defs/A", "description": "An A."},
            {"description": "An A.", "anyOf": [{"$ref": "#/$defs/A"}]},
        ),
        (
            {"items": {"$ref": "#/definitions/A"}, "definitions": {"A": {"const": 1}}},
            {"items": {"$ref": "#/$defs/A"}, "$defs": {"A": {"enum": [1]}}},
        ),
        (
            {"$ref": "#/definitions/A", "definitions": {}, "$defs": {}},
            {"definitions": {}, "$defs": {}, "anyOf": [{"$ref": "#/definitions/A"}]},
        ),
    ],
)
def test_what_has_a_supported_equivalent_is_put_that_way(schema: Any, wanted: Any) -> None:
    assert rewritten(schema) == wanted


def test_a_name_of_a_property_is_no_keyword() -> None:
    schema = {
        "properties": {
            "const": {"type": "string"},
            "$ref": {"allOf": [{"type": "string"}]},
            "definitions": {"default": {"const": 1, "$ref": "x", "y": 2}},
        }
    }
    assert rewritten(schema) == {
        "properties": {
            "const": {"type": "string"},
            "$ref": {"anyOf": [{"type": "string"}]},
            "definitions": {"default": {"const": 1, "$ref": "x", "y": 2}},
        }
    }


def test_neither_numbers_nor_the_order_of_keys_change() -> None:
    text = (
        '{"z":{"a":1},"properties":{"b":{"const":12345678901234567890123},"a":{"maximum":1e400}}}'
    )
    wanted = text.replace('{"const":12345678901234567890123}', '{"enum":[12345678901234567890123]}')
    assert gemini_schema.rewrite(text) == wanted


@pytest.mark.parametrize(
    "text", ['{"$ref":' + '{"items":' * 3000 + "1" + "}" * 3001, '{"allOf":1}']
)
def test_a_schema_that_is_too_odd_goes_out_as_it_came(text: str) -> None:
    assert gemini_schema.rewrite(text) == text


def test_a_rewritten_schema_says_yes_and_no_to_the_same_values() -> None:
    """By the test suite of JSON Schema, wherever a schema of it needs no other document."""
    compared = 0
    for case in shared_json("nasty", "json_schemas.json"):
        schema = case["schema"]
        if not isinstance(schema, dict) or "draft2020-12" not in case["file"]:
            continue
        after = rewritten(schema)
        if after == schema or "http" in json.dumps({**schema, "$schema": 0}):
            continue
        ours = Draft202012Validator(after)
        for values, verdict in ((case["valid"], True), (case["invalid"], False)):
            for value in values:
                assert ours.is_valid(value) is verdict, case["description"]
                compared += 1
    assert compared > 20
