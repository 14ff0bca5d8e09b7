"""Recorded answers of Bedrock, against what an independent reader saw in them."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from conformance.reviewed import REVIEWED
from service.errors import ProviderFault
from service.providers.dialects.bedrock import BedrockDialect
from tests.support.recordings import Recording, recording
from tests.support.shared import shared_names, shared_path
from tests.unit.service.providers.dialects.reading import (
    Said,
    fold,
    is_complete,
    read_stream,
    whole,
)

CASES = [
    name.removesuffix("/meta.json")
    for name in shared_names("traffic", "bedrock", pattern="*/meta.json")
]
STREAMS = [case for case in CASES if not case or case.startswith("stream_")]
DIALECT = BedrockDialect()


def bedrock(case: str) -> Recording:
    return recording(f"bedrock/{case}")


def seen(said: Said, usage: pb.Usage) -> dict[str, Any]:
    return {
        "text": said.text,
        "reasoning": said.reasoning,
        "calls": [(call.id, call.name, json.loads(call.arguments)) for call in said.calls],
        "finish": said.finish,
        "native": [said.native],
        "usage": (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
        ),
    }


def expected(case: str, expect: dict[str, Any]) -> dict[str, Any]:
    usage = expect["usage"]
    found = {
        "text": expect["text"],
        "reasoning": expect["reasoning"],
        "calls": [
            (call["id"], call["name"], json.loads(call["arguments"]))
            for call in expect["tool_calls"]
        ],
        "finish": expect["finish_openai"],
        "native": expect["finish_native"],
        "usage": (usage["prompt"], usage["completion"], usage["cached"], usage["cache_write"]),
    }
    other = REVIEWED.get(f"bedrock/{case}")
    if other is not None and other.text is not None:
        assert found["text"] != other.text, "reviewed, but there is no difference"
        found["text"] = other.text
    if other is not None and other.calls is not None:
        ours = [(name, json.loads(arguments)) for name, arguments in other.calls]
        kept = [call for call in found["calls"] if call[1:] in ours]
        assert len(kept) == len(ours) < len(found["calls"]), "reviewed, but there is no difference"
        found["calls"] = kept
    return found


def frame_ends(data: bytes) -> list[int]:
    ends, at = [], 0
    while at < len(data):
        at += struct.unpack_from(">I", data, at)[0]
        ends.append(at)
    return ends


@pytest.mark.parametrize("case", CASES)
def test_a_recorded_answer_says_what_it_says(case: str) -> None:
    recorded = bedrock(case)
    if recorded.status != 200:
        said = DIALECT.decode_error(recorded.status, recorded.body)
        assert [{"message": said}] == recorded.expect["errors"]
    elif recorded.streamed:
        chunk, last = read_stream(DIALECT, [recorded.body])
        assert seen(fold(chunk, last)[0], last.usage) == expected(case, recorded.expect)
    else:
        answer = DIALECT.decode(recorded.body)
        assert seen(whole(answer)[0], answer.usage) == expected(case, recorded.expect)


@pytest.mark.parametrize("case", STREAMS)
def test_a_recorded_stream_is_the_same_byte_by_byte(case: str) -> None:
    body = bedrock(case).body
    pieces = [body[i : i + 1] for i in range(len(body))]
    assert read_stream(DIALECT, pieces) == read_stream(DIALECT, [body])


@pytest.mark.parametrize("case", STREAMS)
def test_a_recorded_stream_that_is_cut_is_complete_only_after_its_stop(case: str) -> None:
    body = bedrock(case).body
    ends = frame_ends(body)
    stop, metadata = ends[-2:]
    assert b"messageStop" in body[ends[-3] : stop] and b"metadata" in body[stop:metadata]
    for end in (end + off for end in ends for off in (-1, 0)):
        framer, decoder = DIALECT.framer(), DIALECT.decode_stream()
        for event in [*framer.feed(body[:end]), *framer.end()]:
            decoder.decode(event, pb.ChatCompletionChunk())
        assert is_complete(decoder) == decoder.finished == (end >= stop)
        assert decoder.done == (end == metadata)


@pytest.mark.parametrize("case", STREAMS)
def test_a_recorded_stream_with_a_damaged_frame_is_never_taken_for_whole(case: str) -> None:
    body = bytearray(bedrock(case).body)
    for end in frame_ends(bytes(body))[:-1]:
        body[end - 6] ^= 1  # inside the payload
        with pytest.raises(ProviderFault):
            read_stream(DIALECT, [bytes(body)])
        body[end - 6] ^= 1


@pytest.mark.parametrize("case", CASES)
def test_the_path_of_a_recorded_request_is_the_one_we_would_use(case: str) -> None:
    recorded = bedrock(case)
    request = json.loads((shared_path("traffic", "bedrock", case) / "request.json").read_bytes())
    model = recorded.meta["model"]
    path = DIALECT.encode(pb.ChatCompletionRequest(), model, stream=recorded.streamed).path
    assert path == request["path"].replace(":", "%3A")  # some clients leave the colon as it is
