"""A message of a role and a string, and what looks alike, is read as the table would read it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import BadField, Field, Reading
from gateway.transcoding.messages import ANY_MESSAGES, MESSAGES, ROLES
from tests.unit.gateway.request_strategies import anything, messages, text

roles = st.sampled_from([*ROLES, "", "nobody"])
plain = st.fixed_dictionaries({"role": roles, "content": text})
lookalikes = st.fixed_dictionaries({"role": roles | anything, "content": text | anything})
others = st.fixed_dictionaries({"role": roles, "name": text}, optional={"content": text})


def read(row: Field, value: object) -> tuple[pb.ChatCompletionRequest | str, list[str]]:
    """What was read, or the fault; and what was left out."""
    request, reading = pb.ChatCompletionRequest(), Reading({})
    try:
        row.read(request, value, reading)
    except BadField as bad:
        return str(bad), list(reading.ignored)
    return request, list(reading.ignored)


@given(st.lists(plain | lookalikes | others | messages | anything, max_size=4) | anything)
def test_any_messages_are_read_as_without_the_short_way(value: Any) -> None:
    assert read(MESSAGES, value) == read(ANY_MESSAGES, value)
