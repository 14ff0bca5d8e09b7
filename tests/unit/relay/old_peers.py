"""The relay's messages as those know them who know no whole requests and answers."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from llmbase.relay.v1 import relay_pb2

_NEW: Final = {"whole_request", "whole_answer", "whole_requests"}


def _old(name: str) -> Any:
    """A message's class as it was."""
    file = descriptor_pb2.FileDescriptorProto()
    relay_pb2.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        kept = [field for field in message.field if field.name not in _NEW]
        del message.field[:]
        message.field.extend(kept)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))


REQUEST, RESPONSE = _old("RelayRequest"), _old("RelayResponse")


def as_heard(message: Any) -> Any:
    """What an old peer makes of a message: what it does not know is not there."""
    old = REQUEST if isinstance(message, relay_pb2.RelayRequest) else RESPONSE
    heard = old.FromString(message.SerializeToString())
    heard.DiscardUnknownFields()
    return heard
