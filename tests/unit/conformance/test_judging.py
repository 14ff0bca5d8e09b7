"""The conformance kit sees each thing that can be wrong with an answer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conformance.judging import judge, judge_fault
from conformance.reading import Answer, Reply, read
from conformance.recordings import Recording

CALL = {"id": "call_1", "name": "look", "arguments": '{"at":"sea"}'}
EXPECT: dict[str, Any] = {
    "text": "Hello there",
    "reasoning": "Hm",
    "tool_calls": [CALL],
    "choices": 1,
    "finish_openai": "tool_calls",
    "usage": {"prompt": 7, "completion": 5, "cached": 3, "reasoning": 2},
}


def recorded(tmp_path: Path, *, status: int = 200, **expect: Any) -> Recording:
    meta = {"status": status, "stream": True, "dialect": "openai", "expect": EXPECT | expect}
    where = tmp_path / "someone" / "case"
    where.mkdir(parents=True)
    (where / "meta.json").write_text(json.dumps(meta))
    return Recording(where)


def right() -> dict[str, Any]:
    function = {"name": CALL["name"], "arguments": '{"at": "sea"}'}
    message = {
        "role": "assistant",
        "content": "Hello there",
        "reasoning_content": "Hm",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 5,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


def whole(document: dict[str, Any], status: int = 200) -> Answer:
    return read(Reply(status, "application/json", json.dumps(document).encode()))


def stream(*events: str) -> Answer:
    body = "".join(f"data: {event}\n\n" for event in events)
    return read(Reply(200, "text/event-stream", body.encode()))


def chunk(finish: str | None = None, **delta: Any) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def message_of(document: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = document["choices"][0]["message"]
    return message


def call_of(document: dict[str, Any]) -> dict[str, Any]:
    call: dict[str, Any] = message_of(document)["tool_calls"][0]
    return call


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "text of": lambda d: message_of(d).update(content="Hello"),
    "reasoning of": lambda d: message_of(d).update(reasoning_content=None),
    "finish_reason stop": lambda d: d["choices"][0].update(finish_reason="stop"),
    "0 tool calls": lambda d: message_of(d).update(tool_calls=[]),
    "tool call 0 is 'see'": lambda d: call_of(d)["function"].update(name="see"),
    "tool call 0 has the id ''": lambda d: call_of(d).update(id=""),
    "arguments of tool call 0": lambda d: call_of(d)["function"].update(arguments="{}"),
    "2 choices": lambda d: d["choices"].append({**d["choices"][0], "index": 1}),
    "8 prompt tokens": lambda d: d["usage"].update(prompt_tokens=8, total_tokens=13),
    "6 completion tokens": lambda d: d["usage"].update(completion_tokens=6, total_tokens=13),
    "0 cached tokens": lambda d: d["usage"].update(prompt_tokens_details=None),
    "0 reasoning tokens": lambda d: d["usage"].update(completion_tokens_details=None),
    "total_tokens": lambda d: d["usage"].update(total_tokens=14),
    "no usage": lambda d: d.update(usage=None),
    "an error": lambda d: d.update(error={"message": "no"}),
}


def test_the_right_answer_is_right(tmp_path: Path) -> None:
    assert judge(recorded(tmp_path), whole(right())) == ([], None)


@pytest.mark.parametrize("problem", WRONG)
def test_each_thing_that_is_wrong_is_the_only_one_named(problem: str, tmp_path: Path) -> None:
    document = copy.deepcopy(right())
    WRONG[problem](document)

    (wrong,), reviewed = judge(recorded(tmp_path), whole(document))

    assert wrong.startswith(problem)
    assert reviewed is None


def test_a_stream_is_whole_only_with_done(tmp_path: Path) -> None:
    said = [chunk(content="Hello"), chunk(content=" there"), chunk("stop")]
    found = recorded(tmp_path, reasoning="", tool_calls=[], finish_openai="stop", usage=None)

    assert judge(found, stream(*said, "[DONE]"))[0] == []
    assert judge(found, stream(*said))[0] == ["the stream does not end with [DONE]"]
    wrong = ["something follows the end of the stream"]
    assert judge(found, stream(*said, "[DONE]", chunk()))[0] == wrong


ERROR = {"error": {"message": "no", "type": "t", "param": None, "code": None}}


@pytest.mark.parametrize(
    ("status", "answered", "right"),
    [(400, 400, True), (400, 502, False), (500, 502, True), (500, 400, False), (429, 502, True)],
)
def test_an_error_keeps_its_class(status: int, answered: int, right: bool, tmp_path: Path) -> None:
    wrong, _ = judge(recorded(tmp_path, status=status, errors=[{}]), whole(ERROR, answered))

    assert (wrong == []) == right


def test_an_error_without_the_envelope_is_wrong(tmp_path: Path) -> None:
    found = recorded(tmp_path, status=500, errors=[{}])

    assert judge(found, whole({"detail": "no"}, 500))[0] != []
    assert judge(found, whole(right()))[0] != []


def test_after_a_fault_no_stream_may_end_as_usual(tmp_path: Path) -> None:
    found, error = recorded(tmp_path), json.dumps(ERROR)

    def wrong(*events: str) -> list[str]:
        return judge_fault(found, stream(*events), before_content=False)

    assert wrong(chunk(content="Hello"), error) == []
    assert wrong(chunk(content="Hello")) == ["no error event"]
    assert "it looks like a whole answer" in wrong(chunk(content="Hello"), chunk("stop"), error)
    assert "it looks like a whole answer" in wrong(chunk(content="Hello"), "[DONE]")
    assert wrong(chunk(content="Help"), error) == ["the text is not a beginning of the provider's"]
    assert wrong(chunk(role="assistant"), error) == [
        "the status 200, though nothing had been said yet"
    ]


def test_before_content_a_fault_is_an_http_error(tmp_path: Path) -> None:
    found = recorded(tmp_path)

    def wrong(answer: Answer) -> list[str]:
        return judge_fault(found, answer, before_content=True)

    assert wrong(whole(ERROR, 502)) == []
    assert wrong(whole(ERROR, 400)) == ["the status 400, not 500 to 599"]
    assert wrong(whole(right())) != []
    assert wrong(stream(json.dumps(ERROR))) != []
    assert wrong(read(Reply(0, "", b"", "no end within 1 s"))) != []
