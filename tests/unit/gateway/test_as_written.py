"""What is read from its text: read once where it comes again, and the same every time."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.as_written import as_written
from gateway.transcoding.fields import BadField, Field, Reading
from gateway.transcoding.request import request_from_json
from gateway.transcoding.rows import absent
from tests.unit.gateway.requests import USER, ask, refusal

TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"a": 1}}}


def _read(**fields: Any) -> tuple[pb.ChatCompletionRequest, tuple[str, ...]]:
    request, _, ignored = request_from_json(orjson.dumps(ask(**fields)))
    return request, ignored


def test_the_same_tools_are_the_same_whenever_they_come_and_nobody_shares_them() -> None:
    first, _ = _read(tools=[TOOL], user="one")
    expected = pb.Tool(name="f", description="d", parameters='{"a":1}')
    assert list(first.tools) == [expected]
    first.tools[0].name = "changed"
    second, _ = _read(tools=[TOOL], user="two")
    assert list(second.tools) == [expected]
    assert second.user == "two"


def test_what_is_left_out_of_them_is_named_whenever_they_come() -> None:
    odd = [{**TOOL, "odd": 1}]
    form = {"type": "json_object", "strange": 1}
    for _ in range(2):
        _, ignored = _read(tools=odd, response_format=form, zzz=1)
        assert sorted(ignored) == ["response_format.strange", "tools[].odd", "zzz"]


@pytest.mark.parametrize(
    ("tools", "place"),
    [
        ([TOOL, {"type": "function"}], "tools[1].function"),
        ([{"type": "function", "function": {"name": 7}}], "tools[0].function.name"),
        ("none", "tools"),
    ],
)
def test_what_is_wrong_is_said_whenever_it_comes(tools: Any, place: str) -> None:
    for _ in range(2):
        assert refusal(ask(tools=tools)).param == place


def test_a_schema_beside_another_form_is_left_out() -> None:
    form = {"type": "json_object", "json_schema": {"name": "n", "schema": {"a": 1}}}
    request, ignored = _read(response_format=form)
    assert request.response_format.WhichOneof("format") == "json_object"
    assert ignored == ("response_format.json_schema",)


def test_bytes_that_are_no_text_are_no_json_wherever_they_are() -> None:
    for key in ("tools", "user", "response_format"):
        with pytest.raises(BadField, match=r"^The body must be valid JSON: str is not valid UTF-8"):
            request_from_json(b'{"messages":[],"%s":["\xff"]}' % key.encode())


def test_tools_that_are_no_json_are_told_by_their_place_in_the_body() -> None:
    body = b'{"messages":[],"tools":[1e999]}'
    with pytest.raises(BadField, match=r"infinity when parsed as double: line 1 column 25"):
        request_from_json(body)


class _Counted:
    """A row of names, which counts how often it is read."""

    def __init__(self) -> None:
        self.read = 0
        self.row = as_written(Field(self._read, absent), lambda request, text: None)

    def of(self, text: bytes) -> str:
        request = pb.ChatCompletionRequest()
        self.row.read(request, text, Reading({}))
        return request.user

    def _read(self, request: Any, value: Any, reading: Reading) -> None:
        self.read += 1
        reading.ignored.update(dict.fromkeys(value.split(",")))
        request.user = value


def test_a_text_that_comes_again_is_not_read_again() -> None:
    counted = _Counted()
    assert [counted.of(b'"a"'), counted.of(b'"b"'), counted.of(b'"a"')] == ["a", "b", "a"]
    assert counted.read == 2


def test_what_is_kept_is_bounded_in_number_and_size() -> None:
    counted = _Counted()
    for name in range(200):
        counted.of(b'"%d"' % name)
    counted.of(b'"0"')
    assert counted.read == 201
    long = orjson.dumps("x" * 70_000)
    assert counted.of(long) == counted.of(long)
    assert counted.read == 203
    many = orjson.dumps(",".join(map(str, range(100))))
    assert counted.of(many) == counted.of(many)
    assert counted.read == 205


def test_a_schema_too_deep_beside_a_duplicate_of_a_wrong_type_is_refused_as_any() -> None:
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    function = b'"function":7,"function":{"name":"f","parameters":%s}' % deep
    body = b'{"messages":[],"tools":[{"type":"function",%s}]}' % function
    with pytest.raises(BadField, match="tools: must not nest deeper than 64 levels"):
        request_from_json(body)


def test_a_request_without_tools_has_none_of_those_before_it() -> None:
    _read(tools=[TOOL])
    request, _ = _read(tools=None)
    assert not request.tools
    assert request.messages[0].content[0].text == USER["content"]
