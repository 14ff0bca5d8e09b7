"""What names a call, and what of it is to be gone on with: the rules."""

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.rpc import validation


def request(**fields):
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])
    return pb.ChatCompletionRequest(model="m", messages=[message], **fields)


@pytest.mark.parametrize("key", ["k", "!~", "x" * 255])
def test_a_key_is_visible_ascii(key):
    validation.check(request(idempotency_key=key, last_chunk_sequence=0))


@pytest.mark.parametrize("key", ["x" * 256, "a b", "a\n", "ü", "\x7f"])
def test_what_is_no_key_is_refused_by_name(key):
    with pytest.raises(InvalidRequest, match="idempotency_key: must be 1 to 255 visible ASCII"):
        validation.check(request(idempotency_key=key))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"last_chunk_sequence": 0}, "needs an idempotency_key"),
        ({"last_chunk_sequence": 3}, "needs an idempotency_key"),
        ({"idempotency_key": "k", "last_chunk_sequence": -1}, "must be the `sequence` of a chunk"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused_by_name(fields, why):
    with pytest.raises(InvalidRequest, match=f"last_chunk_sequence: {why}"):
        validation.check(request(**fields))
