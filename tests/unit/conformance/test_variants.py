"""The variants change what they say they change, and a cut stream never says how it ends."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from conformance.faults import FAULTS, before_its_end, can_fail
from conformance.forms import FORMS
from conformance.lanes import lanes
from conformance.recordings import Recording, all_chats
from conformance.reviewed import REVIEWED
from conformance.schema import Schema
from conformance.upstream.scripts import Script
from tests.support.recordings import recorded_in, recording
from tests.support.shared import require_shared, shared_path

STREAMS = [
    name
    for name in recorded_in("openai", "anthropic", "bedrock", "cohere", "gemini", "ollama")
    if not name or "/stream_" in name
]
# How each wire format says that an answer is over, in words of its own.
ENDS = rb'"finish_?[rR]eason":\s*"|"stop_reason":\s*"|stopReason|message-end|"done":true|\[DONE\]'


def sent(script: Script) -> bytes:
    return b"".join(piece for piece in script.pieces if isinstance(piece, bytes))


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_cut_before_it_says_how_it_ends(name: str) -> None:
    found = recording(name)
    if not can_fail(found):
        return
    for variant in ("cut", "reset", "stall"):
        script = FAULTS[variant](found)
        assert script is not None
        assert sent(script) == found.body[: before_its_end(found)]
        assert not re.search(ENDS, sent(script))


@pytest.mark.parametrize("name", STREAMS)
def test_a_form_changes_no_more_than_it_says(name: str) -> None:
    found = recording(name)
    forms = {form: make(found) for form, make in FORMS.items()}
    bodies = {form: sent(script) for form, script in forms.items() if script is not None}
    plain = re.sub(rb"\r\n?", b"\n", found.body)

    assert bodies["as-recorded"] == bodies["one-byte"] == gzip.decompress(bodies["gzip"])
    assert bodies["as-recorded"] == found.body
    assert (
        b"\n" not in bodies.get("cr", b"")
        and bodies.get("cr", plain).replace(b"\r", b"\n") == plain
    )
    assert bodies.get("crlf", plain).replace(b"\r\n", b"\n") == plain
    assert bodies.get("bom", b"\xef\xbb\xbf" + found.body) == b"\xef\xbb\xbf" + found.body
    assert ("comments" in bodies) == (found.meta["response_file"] == "response.sse")


def test_every_chat_is_in_one_lane_and_every_lane_has_one_format() -> None:
    chats = all_chats(require_shared("traffic"))
    found = lanes(chats)

    assert sorted(r.name for lane in found for r in lane.recordings) == sorted(
        r.name for r in chats
    )
    assert all({r.dialect for r in lane.recordings} == {lane.dialect} for lane in found)
    assert len({lane.name for lane in found}) == len(found)


def test_every_reviewed_difference_is_of_a_recording() -> None:
    names = {chat.name for chat in all_chats(require_shared("traffic"))}

    assert set(REVIEWED) <= names


def test_the_schema_names_the_place_and_knows_a_document_again(tmp_path: Path) -> None:
    require_shared("openapi")
    schema = Schema(shared_path())
    chunk = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": {}, "finish_reason": None}

    assert schema.problem("chunk", chunk | {"choices": [choice]}) is None
    assert schema.problem("chunk", chunk | {"choices": [choice], "id": "b"}) is None
    assert "$.id" in (schema.problem("chunk", chunk | {"choices": [choice], "id": 7}) or "")
    assert "choices" in (schema.problem("chunk", chunk) or "")


def test_a_recording_knows_its_name_and_dialect(tmp_path: Path) -> None:
    found = Recording(tmp_path / "vertex" / "case")

    assert (found.name, found.provider, found.dialect) == ("vertex/case", "vertex", "vertex")
