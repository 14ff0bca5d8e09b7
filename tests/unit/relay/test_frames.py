"""What gRPC knows of a call survives the frames, and what it refuses is refused."""

from __future__ import annotations

import grpc
import pytest
from llmbase.relay.v1 import relay_pb2

from channel.metadata import received
from channel.status import Status
from relay.frames import (
    from_texts,
    from_wire,
    microseconds,
    size_of,
    status_from_wire,
    status_to_wire,
    timeout_of,
    to_texts,
    to_wire,
)

ENTRIES = received((("one", "1"), ("some-bin", b"\x00\xff"), ("one", "again")))


def test_metadata_keeps_its_order_its_repeated_keys_and_its_bytes() -> None:
    sent = relay_pb2.InitialMetadata(metadata=to_wire(ENTRIES))
    assert from_wire(sent.metadata) == ENTRIES
    assert size_of(ENTRIES) == 22


def test_metadata_of_text_keeps_its_order_and_its_repeated_keys() -> None:
    entries = received((("one", "1"), ("two", ""), ("one", "again")))
    texts = to_texts(entries)
    assert texts is not None
    assert from_texts(relay_pb2.WholeAnswer(initial_metadata=texts).initial_metadata) == entries
    assert (to_texts(()), from_texts([])) == ([], ())
    assert to_texts(ENTRIES) is None  # some of it is bytes


@pytest.mark.parametrize(("key", "value"), [("Upper", b"x"), ("", b"x"), ("key", b"\xe9")])
def test_metadata_that_grpc_would_not_carry_is_refused(key: str, value: bytes) -> None:
    with pytest.raises(grpc.aio.InternalError):
        from_wire([relay_pb2.MetadataEntry(key=key, value=value)])


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_code_survives_with_its_details(code: grpc.StatusCode) -> None:
    status = Status(code, "in Zürich", ENTRIES)
    assert status_from_wire(relay_pb2.Status(**status_to_wire(status))) == status


def test_a_code_of_tomorrow_is_unknown() -> None:
    assert status_from_wire(relay_pb2.Status(code=99)).code is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "seen"), [(None, None), (1.5, 1.5), (1e-9, 1e-6), (float("inf"), 2.0**62 / 1e6)]
)
def test_a_timeout_survives_and_is_never_rounded_to_nothing(
    seconds: float | None, seen: float | None
) -> None:
    assert timeout_of(relay_pb2.Open(timeout_us=microseconds(seconds))) == seen
