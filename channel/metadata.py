"""Metadata as it looks after it has gone over the wire: what gRPC refuses is refused here too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import grpc

_KEY: Final = re.compile(r"[0-9a-z_.-]+")


class Metadatum(NamedTuple):
    """One entry: bytes under a key that ends in `-bin`, text under any other."""

    key: str
    value: str | bytes


Entries: TypeAlias = tuple[Metadatum, ...]


def received(sent: Iterable[Any] | None) -> Entries:
    """The entries that the other side sees. `sent` holds pairs, in order, keys may repeat.

    Raises TypeError for what is no pair of text and text or bytes, and grpc.aio.InternalError, as
    gRPC does, for a key that is not lower-case ASCII or a text that is not printable ASCII.
    """
    if not sent:
        return ()
    if isinstance(sent, dict):
        raise TypeError("metadata is a sequence of pairs, not a dict")
    return tuple([_entry(key, value) for key, value in sent])


def as_mapping(entries: Entries) -> grpc.aio.Metadata:
    """The entries in the type that grpc.aio gives to callers."""
    return grpc.aio.Metadata(*entries)


def _entry(key: object, value: object) -> Metadatum:
    if not isinstance(key, str):
        raise TypeError(f"a metadata key is a str, not {type(key).__name__}")
    if _is_binary(key):
        if not isinstance(value, bytes):
            raise TypeError(f"binary metadata {key} is bytes, not {type(value).__name__}")
        return Metadatum(key, value)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    elif not isinstance(value, str):
        raise TypeError(f"metadata {key} is str or bytes, not {type(value).__name__}")
    if not (value.isascii() and value.isprintable()):
        raise grpc.aio.InternalError(f"the value of metadata {key} is not printable ASCII")
    return Metadatum(key, value)


@lru_cache(256)  # a program has few keys, and uses them in every call
def _is_binary(key: str) -> bool:
    """Whether what is under the key is bytes. Raises InternalError if it is no key."""
    if not _KEY.fullmatch(key):
        raise grpc.aio.InternalError(f"metadata key {key!r} is not lower-case ASCII")
    return key.endswith("-bin")
