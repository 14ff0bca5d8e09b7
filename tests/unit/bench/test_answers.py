"""A wrong answer must be noticed: figures of a gateway that answers wrongly mean nothing."""

from __future__ import annotations

import random

import orjson
import pytest

from tests.bench.answers import Streamed, Whole
from tests.bench.provider_wire import Frames, whole
from tests.bench.questions import Question, asked_in, body
from tests.bench.wire import ResponseReader, WrongAnswer

ASKED = Question(42, 5, 0)
OTHER = Question(43, 5, 0)


def content(answer: bytes) -> bytes:
    """The body of a response, read as the load reads it."""
    reader = ResponseReader()
    found = reader.feed(answer)
    assert reader.ended
    return found


def events(question: Question = ASKED) -> list[bytes]:
    frames = Frames(question)
    pieces = b"".join(frames.piece(place) for place in range(question.chunks))
    answer = content(frames.first() + pieces + frames.last())
    return [event + b"\n\n" for event in answer.split(b"\n\n")[:-1]]


def read(question: Question, told: list[bytes]) -> None:
    check = Streamed(question)
    for event in told:
        check.feed(event)
    check.end()


def test_the_right_streamed_answer_is_right_however_it_is_cut() -> None:
    answer = b"".join(events())
    chance = random.Random(1)
    for _ in range(200):
        cuts = sorted(chance.choices(range(len(answer)), k=5))
        pieces = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
        read(ASKED, pieces)


def test_comments_between_events_are_no_part_of_the_answer() -> None:
    first, *rest = events()
    read(ASKED, [first, b": keep-alive\n\n", *rest])


@pytest.mark.parametrize("place", range(9))
def test_a_lost_event_is_noticed(place: int) -> None:
    told = events()
    assert len(told) == 9  # the role, five pieces, the finish reason, usage, [DONE]
    del told[place]
    if place == 0:
        read(ASKED, told)  # a role says nothing that we hold on to
        return
    with pytest.raises(WrongAnswer):
        read(ASKED, told)


@pytest.mark.parametrize("place", range(1, 6))
def test_a_doubled_piece_is_noticed(place: int) -> None:
    told = events()
    with pytest.raises(WrongAnswer):
        read(ASKED, [*told[:place], told[place], *told[place:]])


def test_pieces_out_of_turn_are_noticed() -> None:
    told = events()
    told[2], told[3] = told[3], told[2]
    with pytest.raises(WrongAnswer):
        read(ASKED, told)


@pytest.mark.parametrize("place", [1, 5, 7])
def test_a_piece_of_somebody_elses_answer_is_noticed(place: int) -> None:
    told = events()
    told[place] = events(OTHER)[place]
    with pytest.raises(WrongAnswer):
        read(ASKED, told)


def test_what_comes_after_the_end_is_noticed() -> None:
    told = events()
    with pytest.raises(WrongAnswer):
        read(ASKED, [*told, told[1]])
    with pytest.raises(WrongAnswer):
        read(ASKED, [*told, b"data: "])


def test_an_error_event_is_noticed() -> None:
    told = events()
    with pytest.raises(WrongAnswer):
        read(ASKED, [*told[:3], b'data: {"error":{"message":"no"}}\n\n'])


def test_a_beginning_is_a_beginning_only_of_its_own_answer() -> None:
    check = Streamed(ASKED)
    check.feed(b"".join(events()[:4]))
    check.so_far()
    assert check.pieces == 3
    wrong = Streamed(OTHER)
    wrong.feed(b"".join(events()[:4]))
    with pytest.raises(WrongAnswer):
        wrong.so_far()


def test_the_right_whole_answer_is_right_and_all_others_are_not() -> None:
    right = content(whole(ASKED))
    check = Whole(ASKED)
    check.feed(right[:100])
    check.feed(right[100:])
    check.end()
    answer = orjson.loads(right)
    wrong = [
        content(whole(OTHER)),
        right[:-1],
        orjson.dumps(answer | {"usage": OTHER.usage}),
        orjson.dumps(answer | {"usage": None}),
        orjson.dumps(answer | {"choices": []}),
        orjson.dumps(answer | {"choices": answer["choices"] * 2}),
        right.replace(b'"stop"', b'"length"'),
        b'{"error":{"message":"no"}}',
    ]
    for told in wrong:
        check = Whole(ASKED)
        check.feed(told)
        with pytest.raises(WrongAnswer):
            check.end()


def test_the_provider_finds_the_question_wherever_it_stands() -> None:
    for image in ("", "data:image/png;base64,AAAA"):
        assert asked_in(body(ASKED, stream=True, image=image)) == ASKED
    assert asked_in(b'{"messages":[]}') is None
    assert 3000 < len(body(ASKED, stream=False)) < 4200
