from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.openai import OpenAiDialect
from tests.support.shared import require_shared
from tests.unit.service.providers.dialects.reading import Call, fold, read_stream

DIALECT = OpenAiDialect()

Piece = dict[str, Any]


def piece(
    index: int | None = 0,
    id: str | None = None,
    name: str | None = None,
    arguments: Any = None,
    **fields: Any,
) -> Piece:
    """A piece of a call with just the keys that are given."""
    function = {"name": name, "arguments": arguments}
    found = {"index": index, "id": id, **fields}
    found["function"] = {key: value for key, value in function.items() if value is not None}
    return {key: value for key, value in found.items() if value is not None}


def called(*deltas: Piece | list[Piece] | dict[str, Any]) -> list[Call]:
    """The calls of a stream that brings so many deltas: of a piece, or of several."""
    events = []
    for pieces in deltas:
        listed = pieces if isinstance(pieces, list) else [pieces]
        choice = {"index": 0, "delta": {"tool_calls": listed}, "finish_reason": None}
        events.append({"id": "s", "choices": [choice]})
    return streamed(*events)


def streamed(*events: dict[str, Any]) -> list[Call]:
    finish = {"id": "s", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    stream = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in [*events, finish])
    return fold(*read_stream(DIALECT, [stream]))[0].calls


def in_short(calls: list[Call]) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in calls]


def test_a_call_in_pieces_is_put_together() -> None:
    pieces = [piece(0, "c", "f", ""), piece(0, arguments='{"a"'), piece(0, arguments=":1}")]
    assert in_short(called(*pieces)) == [("c", "f", '{"a":1}')]


def test_interleaved_pieces_find_their_calls_by_index() -> None:
    found = called(
        [piece(0, "a", "f", ""), piece(1, "b", "g", "")],
        piece(1, arguments='{"y":'),
        piece(0, arguments='{"x":'),
        [piece(0, arguments="1}"), piece(1, arguments="2}")],
    )
    assert in_short(found) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


@pytest.mark.parametrize("index", [0, None])
def test_whole_calls_that_share_an_index_or_have_none_are_told_apart(index: int | None) -> None:
    found = called(
        piece(index, "a", "f", '{"x":1}'),
        piece(index, "b", "f", '{"x":2}'),
        [piece(index, "c", "g", "{}"), piece(index, "d", "g", "")],
    )
    assert in_short(found) == [
        ("a", "f", '{"x":1}'),
        ("b", "f", '{"x":2}'),
        ("c", "g", "{}"),
        ("d", "g", "{}"),
    ]


@pytest.mark.parametrize("index", [0, None])
def test_whole_calls_without_ids_that_share_an_index_are_told_apart(index: int | None) -> None:
    found = called(
        piece(index, name="f", arguments={"x": 1}),
        piece(index, name="f", arguments={"x": 2}),
        piece(index, name="g", arguments={}),
        piece(index, name="g", arguments={}),
    )
    assert [(call.name, call.arguments) for call in found] == [
        ("f", '{"x":1}'),
        ("f", '{"x":2}'),
        ("g", "{}"),
        ("g", "{}"),
    ]
    assert len({call.id for call in found}) == 4


@pytest.mark.parametrize("index", [0, None])
def test_another_name_is_another_call_even_before_any_arguments(index: int | None) -> None:
    found = called(
        piece(index, name="f"), piece(index, name="g"), piece(index, arguments='{"a":1}')
    )
    assert [(call.name, call.arguments) for call in found] == [("f", "{}"), ("g", '{"a":1}')]


def test_calls_that_share_an_index_and_an_id_are_told_apart_by_name_and_wholeness() -> None:
    same = [piece(0, "x", "f", '{"a":1}'), piece(0, "x", "g", "{}"), piece(0, "x", "g", "{}")]
    found = called(*same)
    assert [(call.name, call.arguments) for call in found] == [
        ("f", '{"a":1}'),
        ("g", "{}"),
        ("g", "{}"),
    ]
    assert found[0].id == "x"
    assert len({call.id for call in found}) == 3


def test_without_an_index_a_piece_finds_its_call_by_id_or_is_the_latest_call_s() -> None:
    found = called(
        piece(None, "a", "f"),
        piece(None, "b", "g"),
        piece(None, "a", arguments='{"x":1}'),
        piece(None, arguments='{"y":2}'),
    )
    assert in_short(found) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


def test_one_index_for_all_and_ids_on_every_piece_still_works() -> None:
    found = called(
        piece(0, "a", "f"),
        piece(0, "b", "g"),
        piece(0, "a", arguments='{"x":1}'),
        piece(0, "b", arguments='{"y":2}'),
    )
    assert in_short(found) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


def test_a_new_id_on_every_piece_does_not_make_new_calls() -> None:
    found = called(
        piece(0, "r1", "f", ""), piece(0, "r2", arguments='{"a"'), piece(0, "r3", arguments=":1}")
    )
    assert in_short(found) == [("r1", "f", '{"a":1}')]


def test_a_name_repeated_on_every_piece_is_said_once() -> None:
    found = called(
        piece(0, "c", "f", '{"a'),
        piece(0, "c", "f", '":{}'),
        piece(0, "c", "f", "}"),
        piece(0, "c", "f", ""),
    )
    assert in_short(found) == [("c", "f", '{"a":{}}')]


def test_upstream_indexes_with_gaps_become_contiguous() -> None:
    found = called(piece(3, "a", "f", "{}"), piece(1, "b", "g", "{}"), piece(-1, "c", "h", "{}"))
    assert [call.id for call in found] == ["a", "b", "c"]


def test_a_name_that_comes_after_the_id_is_waited_for() -> None:
    found = called(piece(0, "c"), piece(0, arguments='{"a"'), piece(0, name="f", arguments=":1}"))
    assert in_short(found) == [("c", "f", '{"a":1}')]


def test_an_id_that_is_missing_is_made_up_and_one_that_comes_late_is_not_told() -> None:
    (found,) = called(piece(0, name="f", arguments="{"), piece(0, "late", arguments="}"))
    assert (found.name, found.arguments) == ("f", "{}")
    assert found.id.startswith("call_")


def test_own_ids_keep_clear_of_the_provider_s() -> None:
    own = called(piece(0, name="f"))[0].id
    found = called(piece(0, name="f"), piece(1, own, "g"), piece(2, own, "h"))
    assert found[0].id == own
    assert len({call.id for call in found}) == 3


@pytest.mark.parametrize("none", [None, "", "{}", {}])
def test_a_call_without_arguments_ends_as_an_empty_object(none: Any) -> None:
    assert in_short(called(piece(0, "c", "f", none), piece(0, arguments=""))) == [("c", "f", "{}")]


def test_an_empty_object_before_the_real_arguments_is_a_placeholder() -> None:
    found = called(piece(0, "c", "f", "{}"), piece(0, arguments='{"a"'), piece(0, arguments=":1}"))
    assert in_short(found) == [("c", "f", '{"a":1}')]


@pytest.mark.parametrize(
    "pieces", [["{", "}"], [" ", "{}", "\n"], [" ", '{"a"', ":1} "], ["{}", " "], ["not", " json"]]
)
def test_arguments_pass_through_untouched(pieces: list[str]) -> None:
    found = called(piece(0, "c", "f"), *(piece(0, arguments=text) for text in pieces))
    assert found[0].arguments == "".join(pieces)


def test_arguments_given_as_an_object_keep_their_order_and_numbers() -> None:
    stream = (
        b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":'
        b'{ "b":12345678901234567890123, "a":1.0}}}]},"finish_reason":"stop"}]}\n\n'
    )
    (found,) = fold(*read_stream(DIALECT, [stream]))[0].calls
    assert found.arguments == '{"b":12345678901234567890123,"a":1.0}'


def test_a_whole_call_may_come_in_the_chunk_that_finishes() -> None:
    delta = {"tool_calls": [piece(0, "c", "f", "")]}
    found = streamed({"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]})
    assert in_short(found) == [("c", "f", "{}")]


def test_the_old_function_call_is_put_together_too() -> None:
    deltas = [{"name": "f", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ":1}"}]
    found = streamed(*({"choices": [{"delta": {"function_call": d}}]} for d in deltas))
    assert [(call.name, call.arguments) for call in found] == [("f", '{"a":1}')]
    assert found[0].id


@pytest.mark.parametrize(
    "late",
    [piece(0, arguments='{"a":1}'), piece(1, "d", "g", "{}")],
    ids=["arguments", "another call"],
)
def test_what_comes_too_late_to_be_put_right_is_malformed(late: Piece) -> None:
    finish = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    events = [{"choices": [{"delta": {"tool_calls": [p]}}]} for p in (piece(0, "c", "f"), late)]
    with pytest.raises(ProviderFault) as caught:
        streamed(events[0], finish, events[1])
    assert caught.value.kind is FaultKind.MALFORMED


def test_a_call_that_never_gets_a_name_is_malformed() -> None:
    with pytest.raises(ProviderFault) as caught:
        called(piece(0, "c", arguments="{}"))
    assert caught.value.kind is FaultKind.MALFORMED


def test_any_text_passes_as_arguments_untouched() -> None:
    for path in sorted(require_shared("nasty", "jsontestsuite").iterdir()):
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue  # text is what arguments are
        wanted = text if text.strip() else "{}"
        middle = len(text) // 2
        split = [piece(0, "c", "f", text[:middle]), piece(0, arguments=text[middle:])]
        for pieces in ([piece(0, "c", "f", text)], split):
            assert called(*pieces)[0].arguments == wanted, path.name
        message = {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": text}}]}
        answer = DIALECT.decode(json.dumps({"choices": [{"message": message}]}).encode())
        assert answer.choices[0].message.tool_calls[0].arguments == wanted, path.name


_JSON = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3)


@given(data=st.data(), objects=st.lists(_JSON, min_size=1, max_size=5), ids=st.booleans())
@settings(deadline=None, max_examples=200)
def test_interleaved_calls_come_out_as_valid_json_with_unique_ids(
    data: st.DataObject, objects: list[dict[str, Any]], ids: bool
) -> None:
    queues: list[list[Piece]] = []
    for index, value in enumerate(objects):
        text = json.dumps(value) if value else data.draw(st.sampled_from(["", "{}"]))
        cut = data.draw(st.integers(0, len(text)))
        first = piece(index, f"c{index}" if ids else None, f"f{index}")
        queues.append(
            [first, piece(index, arguments=text[:cut]), piece(index, arguments=text[cut:])]
        )
    pieces = []
    while any(queues):
        pieces.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    found = called(*pieces)
    assert len({call.id for call in found}) == len(objects)
    by_name = {call.name: json.loads(call.arguments) for call in found}
    assert by_name == {f"f{index}": value for index, value in enumerate(objects)}
