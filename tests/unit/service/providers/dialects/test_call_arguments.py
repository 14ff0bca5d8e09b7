"""Tool arguments on their way to a provider that takes nothing but an object."""

from __future__ import annotations

import json

import pytest

from service.providers.dialects.turns import arguments_object


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"b":1,"a":2}',
        '{ "id" : 12345678901234567890123 }',
        '{"x":1.10,"x":2e40}',
        '\n{"é":"€"}\n',
    ],
)
def test_an_object_goes_to_the_letter(text: str) -> None:
    assert arguments_object(text) == text


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_no_arguments_are_an_empty_object(text: str) -> None:
    assert arguments_object(text) == "{}"


@pytest.mark.parametrize("text", ['{"a":', "[1]", "null", "5", '"x"', "not JSON", "{'a': 1}"])
def test_what_is_no_object_goes_inside_of_one(text: str) -> None:
    assert json.loads(arguments_object(text)) == {"invalid_arguments": text}
