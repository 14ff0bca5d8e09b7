"""Whether an answer means what the provider said. Every judgement is a list of what is wrong.

What was said is never quoted at length: a line has to do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from conformance.reading import Answer, Said
from conformance.recordings import Recording
from conformance.reviewed import REVIEWED, Reading

_AT_FAULT = frozenset({400, 413, 422})  # the request is, whatever gateway is in between
_FINISH = {"eos": "stop", "function_call": "tool_calls"}  # words that are not one of OpenAI's four


@dataclass(frozen=True)
class Wanted:
    """What an answer has to mean."""

    error: bool
    statuses: range  # of an error that is told by one
    choices: int
    text: str
    reasoning: str
    refusal: str | None  # None: any
    calls: tuple[tuple[str | None, str, str], ...]  # id (None: any), name, arguments
    finish: str
    usage: dict[str, int] | None  # None: any


def judge(recording: Recording, answer: Answer) -> tuple[list[str], str | None]:
    """What is wrong with the answer, and the reason of the other reading where it is that one."""
    wanted = wanted_of(recording)
    wrong = compare(wanted, answer)
    other = REVIEWED.get(recording.name)
    if not wrong or other is None or compare(_reviewed(wanted, other, recording), answer):
        return wrong, None
    return [], other.reason


def wanted_of(recording: Recording) -> Wanted:
    """What is noted beside a recording, with OpenAI's words."""
    expect = recording.expect
    calls = tuple((c["id"], c["name"], c["arguments"]) for c in expect["tool_calls"])
    finish = expect.get("finish_openai") or ("tool_calls" if calls else "stop")
    noted = expect.get("usage")
    return Wanted(
        error=recording.status != 200 or bool(expect.get("errors")),
        statuses=_statuses(recording.status),
        choices=max(1, expect["choices"]),  # a prompt that was blocked has an empty answer
        text=expect["text"],
        reasoning=expect["reasoning"],
        refusal=expect.get("refusal"),
        calls=calls,
        finish=_FINISH.get(finish, finish),
        usage=noted and {name: noted[name] for name in _COUNTS if noted.get(name) is not None},
    )


def compare(wanted: Wanted, answer: Answer) -> list[str]:
    """What is wrong with an answer; nothing, if it is right."""
    if wanted.error:
        return _compare_error(wanted, answer)
    if answer.error is not None or answer.status != 200:
        return [f"an error (status {answer.status}) where there is an answer"]
    wrong = list(answer.formless)
    if answer.streamed and not answer.done:
        wrong.append("the stream does not end with [DONE]")
    if len(answer.choices) != wanted.choices:
        wrong.append(f"{len(answer.choices)} choices, not {wanted.choices}")
    if answer.choices:
        wrong += _compare_said(wanted, [said for _, said in sorted(answer.choices.items())])
    if wanted.usage is not None:
        wrong += _compare_usage(wanted.usage, answer.usage)
    return wrong


def judge_fault(recording: Recording, answer: Answer, *, before_content: bool) -> list[str]:
    """What is wrong with an answer that a fault came into: it must never look whole."""
    wrong = list(answer.formless)
    if answer.ended:
        wrong.append("it looks like a whole answer")
    if answer.status != 200:
        return wrong + _compare_status(range(500, 600), answer)
    if answer.error is None:
        wrong.append("no error event")
    elif before_content or not answer.said_anything:
        wrong.append("the status 200, though nothing had been said yet")
    return wrong + _compare_beginning(wanted_of(recording), answer)


def _statuses(status: int) -> range:
    if status in _AT_FAULT:
        return range(400, 500)
    return range(500, 600) if status >= 500 else range(400, 600)


def _reviewed(wanted: Wanted, other: Reading, recording: Recording) -> Wanted:
    calls = wanted.calls if other.calls is None else tuple((None, *c) for c in other.calls)
    return replace(
        wanted,
        error=wanted.error if other.error is None else other.error,
        statuses=other.statuses or wanted.statuses,
        text=_text(wanted, other, recording),
        calls=calls,
        finish=other.finish or ("tool_calls" if other.calls else wanted.finish),
        usage={**(wanted.usage or {}), **other.usage} if other.usage else wanted.usage,
    )


def _text(wanted: Wanted, other: Reading, recording: Recording) -> str:
    if other.text_at:
        found = json.loads(recording.body)
        for step in other.text_at:
            found = found[step]
        return str(found)
    return wanted.text if other.text is None else other.text


def _compare_error(wanted: Wanted, answer: Answer) -> list[str]:
    wrong = list(answer.formless)
    if answer.ended:
        wrong.append("it looks like a whole answer")
    if answer.status != 200:
        return wrong + _compare_status(wanted.statuses, answer)
    if answer.error is None:
        wrong.append("no error event")
    return wrong + _compare_beginning(wanted, answer)


def _compare_status(statuses: range, answer: Answer) -> list[str]:
    wrong = []
    if answer.status not in statuses:
        wrong.append(f"the status {answer.status}, not {statuses[0]} to {statuses[-1]}")
    if answer.error is None:
        wrong.append("no error envelope")
    return wrong


def _compare_beginning(wanted: Wanted, answer: Answer) -> list[str]:
    said = answer.choices.get(0, Said())
    return [
        f"the {name} is not a beginning of the provider's"
        for name, got, whole in (
            ("text", said.text, wanted.text),
            ("reasoning", said.reasoning, wanted.reasoning),
        )
        if wanted.choices == 1 and not whole.startswith(got)
    ]


def _compare_said(wanted: Wanted, choices: list[Said]) -> list[str]:
    first, wrong = choices[0], []
    texts = {first.text, "".join(said.text for said in choices)}
    if wanted.text not in texts:
        wrong.append(_differs("text", wanted.text, first.text))
    if first.reasoning != wanted.reasoning and len(choices) == 1:
        wrong.append(_differs("reasoning", wanted.reasoning, first.reasoning))
    if wanted.refusal is not None and first.refusal != wanted.refusal:
        wrong.append(_differs("refusal", wanted.refusal, first.refusal))
    if first.finish != wanted.finish:
        wrong.append(f"finish_reason {first.finish}, not {wanted.finish}")
    return wrong + _compare_calls(wanted, first)


def _compare_calls(wanted: Wanted, said: Said) -> list[str]:
    calls = [call for _, call in sorted(said.calls.items())]
    if len(calls) != len(wanted.calls):
        return [f"{len(calls)} tool calls, not {len(wanted.calls)}"]
    wrong = []
    for at, (call, (call_id, name, arguments)) in enumerate(zip(calls, wanted.calls, strict=True)):
        if call.name != name:
            wrong.append(f"tool call {at} is {call.name!r}, not {name!r}")
        if not call.id or (call_id and call.id != call_id):
            wrong.append(f"tool call {at} has the id {call.id!r}, not {call_id!r}")
        if _value(call.arguments) != _value(arguments):
            wrong.append(_differs(f"arguments of tool call {at}", arguments, call.arguments))
    if len({call.id for call in calls}) != len(calls):
        wrong.append("two tool calls share an id")
    return wrong


_COUNTS = ("prompt", "completion", "cached", "reasoning")


def _compare_usage(wanted: dict[str, int], usage: dict[str, Any] | None) -> list[str]:
    if usage is None:
        return ["no usage, though the provider gave it"]
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    got = {
        "prompt": usage.get("prompt_tokens"),
        "completion": usage.get("completion_tokens"),
        "cached": prompt.get("cached_tokens") or 0,
        "reasoning": completion.get("reasoning_tokens") or 0,
    }
    wrong = [f"{got[k]} {k} tokens, not {n}" for k, n in wanted.items() if got[k] != n]
    if usage.get("total_tokens") != (got["prompt"] or 0) + (got["completion"] or 0):
        wrong.append("total_tokens is not the sum of prompt and completion")
    return wrong


def _value(arguments: str) -> Any:
    """Arguments as JSON; no arguments are an empty object, and what is not JSON is text."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _differs(what: str, wanted: str, got: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b), -1)
    at = min(len(wanted), len(got)) if at < 0 else at
    return f"{what} of {len(got)} characters, not {len(wanted)}, differs at character {at}"
