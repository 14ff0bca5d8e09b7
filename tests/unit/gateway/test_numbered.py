"""Events with ids: whoever goes on after any of them gets exactly the rest."""

from __future__ import annotations

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.chunks import DONE, StreamRenderer
from gateway.transcoding.numbered import EventId, NumberedRenderer


def chunk(sequence: int, *deltas: tuple[int, str], last: bool = False) -> pb.ChatCompletionChunk:
    made = pb.ChatCompletionChunk(id="chatcmpl-1", created=7, model="m", sequence=sequence)
    for index, text in deltas:
        if last:
            made.choices.add(index=index, finish_reason=pb.FINISH_REASON_STOP)
        else:
            made.choices.add(index=index, content=text)
    if last:
        made.last = True
        made.usage.total_tokens = 3
    return made


STREAM = [
    chunk(1, (0, "a"), (0, "b\n\nc")),
    chunk(2, (1, "d"), (0, "e"), (1, "f")),
    chunk(3, (2, "g\u2028")),
    chunk(4, (0, ""), (1, ""), (2, ""), last=True),
]


def events(include_usage: bool, seen: EventId | None = None) -> list[tuple[str, bytes]]:
    """The ids and bodies of all that is rendered for who has seen so much."""
    renderer = NumberedRenderer(include_usage, seen)
    first = 0 if seen is None else seen.sequence - 1
    out = b"".join(renderer.render(it) for it in STREAM[first:])
    found = []
    for event in out.split(b"\n\n")[:-1]:
        *ids, body = event.split(b"\n")
        assert len(ids) == (0 if body + b"\n\n" == DONE else 1)
        found.append((ids[0].removeprefix(b"id: ").decode() if ids else "", body))
    return found


@pytest.mark.parametrize("include_usage", [False, True])
def test_the_bodies_are_those_of_a_stream_without_ids(include_usage: bool) -> None:
    plain = StreamRenderer(include_usage)
    bare = b"".join(plain.render(it) for it in STREAM).split(b"\n\n")[:-1]
    assert [body for _, body in events(include_usage)] == bare


@pytest.mark.parametrize("include_usage", [False, True])
def test_who_goes_on_after_any_event_gets_exactly_the_rest(include_usage: bool) -> None:
    all_of_them = events(include_usage)
    ids = [name for name, _ in all_of_them]
    assert len(set(ids)) == len(ids)
    assert ids[-1] == ""  # the end needs none: nothing comes after it
    for number, name in enumerate(ids[:-1], 1):
        seen = EventId.parse(name)
        assert seen is not None
        assert events(include_usage, seen) == all_of_them[number:]


@pytest.mark.parametrize(
    "text", ["", "1", "1.1", "0.1.0", "1.0.0", "1.1.1.1", "-1.1.0", "1.1.1000", "a.b.c", "1.1.0 "]
)
def test_what_is_no_id_of_ours_is_none(text: str) -> None:
    assert EventId.parse(text) is None


def test_an_id_says_which_choices_had_begun() -> None:
    assert EventId.parse("12.3.5") == EventId(12, 3, (0, 2))
