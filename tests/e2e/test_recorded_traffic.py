"""What real providers once sent comes out right, however its bytes are cut."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.support import answers
from tests.support.answers import Answer
from tests.support.asking import hello
from tests.support.openai_schema import check_answer
from tests.support.recordings import Recording, recorded_chats, recorded_streams, recording
from tests.support.rest_door import RestDoor
from tests.support.rest_form import Reply, read_reply
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.scripts import Piece, drip, pause

# Where the usual mapping in the recordings keeps a word that is not one of OpenAI's four.
FINISH = {"function_call": "tool_calls", "eos": "stop"}


async def _replay(
    found: Recording, rest_door: RestDoor, upstream: ScriptedUpstream, *pieces: Piece
) -> Reply:
    upstream.on("one", found.script(*pieces))
    return await rest_door.send(json.dumps(hello(stream=found.streamed)).encode())


@pytest.mark.parametrize("name", recorded_chats())
async def test_a_recorded_answer_comes_out_right(
    name: str, rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    found = recording(name)

    reply = await _replay(found, rest_door, upstream)

    check_answer(reply)
    answer = read_reply(reply)
    if found.expect.get("errors") or found.status != 200:
        _check_failure(found, answer)
    else:
        _check_answer(found, answer)


def _check_failure(found: Recording, answer: Answer) -> None:
    assert not answer.complete
    failure = answer.failure
    assert failure is not None
    begun = found.expect["text"] or found.expect["reasoning"]
    if begun:
        assert failure.code == "upstream_error"
        assert (answer.choices[0].text or "") == found.expect["text"]
        assert (answer.choices[0].reasoning or "") == found.expect["reasoning"]
        return
    told = (found.expect.get("errors") or [{}])[0]
    told = told if isinstance(told, dict) else {"message": told}
    at_fault = {400, 413, 422} & {found.status, told.get("status"), told.get("code")}
    assert failure.status == (400 if at_fault else 502)
    if at_fault:
        assert failure.message.startswith(told.get("message", "")[:40])
    else:
        assert failure.code == "all_providers_failed"


def _check_answer(found: Recording, answer: Answer) -> None:
    expect = found.expect
    assert answer.complete and answer.failure is None
    assert len(answer.choices) == expect["choices"]
    first = answer.choices[0]
    assert (first.text or "") == expect["text"]
    assert (first.reasoning or "") == expect["reasoning"]
    assert first.refusal == expect.get("refusal")
    if not expect.get("legacy_function_call"):
        assert answer.calls == [(c["name"], c["arguments"] or "{}") for c in expect["tool_calls"]]
        for call, told in zip(first.calls, expect["tool_calls"], strict=True):
            assert call.id == told["id"] if told["id"] else call.id
    finish = expect.get("finish_openai") or ("tool_calls" if first.calls else "stop")
    assert first.finish == FINISH.get(finish, finish)
    if "finish_native" in expect:
        assert (first.native_finish or first.finish) in expect["finish_native"]
    else:
        assert first.native_finish is None
    _check_usage(found, answer)


def _check_usage(found: Recording, answer: Answer) -> None:
    usage, told = answer.usage, found.expect.get("usage")
    assert usage is not None
    if told is None:
        # Some put it where the independent reader does not look.
        assert usage.estimated == (re.search(rb'"usage":\s*\{', found.body) is None)
        return
    native = found.expect["usage_native"]
    # Where reasoning is not part of the completion's figure, it is part of the total.
    total = native.get("total_tokens") or told["prompt"] + told["completion"]
    assert usage == answers.Usage(
        prompt=told["prompt"],
        completion=total - told["prompt"],
        total=total,
        cached=told["cached"] or native.get("cached_tokens", 0),
        cache_write=usage.cache_write,
        reasoning=told["reasoning"] or 0,
    )


def _inside_characters(body: bytes) -> Iterator[Piece]:
    """Cut inside each of the first characters of several bytes, with a pause at each cut."""
    inside = [at for at, byte in enumerate(body) if 0x80 <= byte < 0xC0][:60]
    cuts = [0, *inside, len(body)]
    for begin, end in itertools.pairwise(cuts):
        yield body[begin:end]
        yield pause(0.001)


def _at_line_ends(body: bytes) -> Iterator[Piece]:
    """CRLF, cut between the two, with a pause at the first cuts."""
    lines = body.split(b"\n")
    for number, line in enumerate(lines[:-1]):
        yield line + b"\r"
        if number < 60:
            yield pause(0.001)
        yield b"\n"
    if lines[-1]:
        yield lines[-1]


def _with_comments(body: bytes) -> Iterator[Piece]:
    """Comments between events and inside them, and fields that we have no use for."""
    yield b": welcome\n\n:\n\n"
    for line in body.split(b"\n"):
        if line.startswith(b"data:"):
            yield b": data: [DONE]\nretry: 5\nid: 7\nunknown\n"
        yield line + b"\n"


VARIANTS: dict[str, Callable[[bytes], Iterator[Piece]]] = {
    "one byte at a time": lambda body: iter(drip(body)),
    "cut inside characters": _inside_characters,
    "cut between CR and LF": _at_line_ends,
    "with CR alone": lambda body: iter([body.replace(b"\n", b"\r")]),
    "after a byte order mark": lambda body: iter([b"\xef\xbb\xbf", body]),
    "between comments": _with_comments,
}


async def _check_variant(
    name: str, variant: str, rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    found = recording(name)
    as_recorded = await _replay(found, rest_door, upstream)

    reply = await _replay(found, rest_door, upstream, *VARIANTS[variant](found.body))

    assert read_reply(reply) == read_reply(as_recorded)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", recorded_streams(at_most=2600))
async def test_a_short_stream_is_the_same_however_its_bytes_are_cut(
    name: str, variant: str, rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    await _check_variant(name, variant, rest_door, upstream)


@pytest.mark.matrix
@pytest.mark.timeout(300)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", recorded_streams())
async def test_every_stream_is_the_same_however_its_bytes_are_cut(
    name: str, variant: str, rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    await _check_variant(name, variant, rest_door, upstream)


@pytest.mark.matrix
@pytest.mark.parametrize("name", recorded_chats())
async def test_every_whole_answer_is_the_same_one_byte_at_a_time(
    name: str, rest_door: RestDoor, upstream: ScriptedUpstream
) -> None:
    found = recording(name)
    as_recorded = await _replay(found, rest_door, upstream)

    reply = await _replay(found, rest_door, upstream, *drip(found.body))

    assert read_reply(reply) == read_reply(as_recorded)
