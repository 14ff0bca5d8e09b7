"""Metadata as it looks after it has gone over the wire: what gRPC refuses is refused here too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, TypeAlias, cast

import grpc

_KEY: Final = re.compile(r"[0-9a-z_.-]+")

# Bytes under a key that ends in `-bin`, text under any other.
Entries: TypeAlias = tuple[tuple[str, str | bytes], ...]


class Metadatum(NamedTuple):
    """One entry, as handlers get it."""

    key: str
    value: str | bytes


# Of a pair, which a NamedTuple's own constructor would take apart in Python first.
_METADATUM: Final = cast("Callable[[object], Metadatum]", partial(tuple.__new__, Metadatum))


def received(sent: Iterable[Any] | None) -> Entries:
    """The entries that the other side sees. `sent` holds pairs, in order, keys may repeat.

    Raises TypeError for what is no pair of text and text or bytes, and grpc.aio.InternalError, as
    gRPC does, for a key that is not lower-case ASCII or a text that is not printable ASCII.
    """
    if not sent:
        return ()
    if isinstance(sent, dict):
        raise TypeError("metadata is a sequence of pairs, not a dict")
    entries = tuple(map(tuple, sent))
    if len(entries) > 1:
        try:  # nearly always all of it is text, and is looked at as one
            keys, values = zip(*entries, strict=True)
            if _are_of_text(keys) and (text := "".join(values)).isascii() and text.isprintable():
                return entries
        except (TypeError, ValueError, grpc.aio.InternalError):
            pass  # the entry it is about is found below
    return tuple([_entry(key, value) for key, value in entries])


def received_texts(texts: Sequence[str]) -> Entries:
    """The entries of keys and values by turns. Raises as `received`; ValueError if they are odd."""
    keys, values = tuple(texts[::2]), texts[1::2]
    pairs = zip(keys, values, strict=True)
    if _are_of_text(keys) and (text := "".join(values)).isascii() and text.isprintable():
        return tuple(pairs)
    return received(pairs)


def as_handlers_see(entries: Entries) -> tuple[Metadatum, ...]:
    """The entries in the type that handlers get."""
    return tuple(map(_METADATUM, entries))


def as_mapping(entries: Entries) -> grpc.aio.Metadata:
    """The entries in the type that grpc.aio gives to callers."""
    if len(dict(entries)) < len(entries):
        return grpc.aio.Metadata(*entries)  # which puts together what is under one key
    return _Unread(entries)


class _Unread(grpc.aio.Metadata):
    """Entries without repeated keys, that most who get them walk over once, or never look at.

    What grpc.aio makes of them costs more than the walk: it is made when any other use is.
    """

    _entries: Entries | None = None  # until it is grpc.aio's

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __getattr__(self, name: str) -> Any:
        # Asked only for what is not there: grpc.aio's own state, which its methods work with.
        entries, self._entries = self._entries, None
        if entries is None:
            raise AttributeError(name)
        super().__init__(*entries)
        return getattr(self, name)

    def __iter__(self) -> Iterator[tuple[str, str | bytes]]:
        return super().__iter__() if self._entries is None else iter(self._entries)

    def __len__(self) -> int:
        return super().__len__() if self._entries is None else len(self._entries)

    def __add__(self, other: Any) -> Any:
        return grpc.aio.Metadata(*self) + other

    def __repr__(self) -> str:
        return repr(grpc.aio.Metadata(*self))


def _entry(key: object, value: object) -> tuple[str, str | bytes]:
    if not isinstance(key, str):
        raise TypeError(f"a metadata key is a str, not {type(key).__name__}")
    if _is_binary(key):
        if not isinstance(value, bytes):
            raise TypeError(f"binary metadata {key} is bytes, not {type(value).__name__}")
        return key, value
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    elif not isinstance(value, str):
        raise TypeError(f"metadata {key} is str or bytes, not {type(value).__name__}")
    if not (value.isascii() and value.isprintable()):
        raise grpc.aio.InternalError(f"the value of metadata {key} is not printable ASCII")
    return key, value


@lru_cache(32)  # a program sends the same few sets of keys with every call
def _are_of_text(keys: tuple[str, ...]) -> bool:
    """Whether what is under the keys is text. Raises as `_is_binary`."""
    return not any(map(_is_binary, keys))


@lru_cache(256)  # a program has few keys, and uses them in every call
def _is_binary(key: str) -> bool:
    """Whether what is under the key is bytes. Raises InternalError if it is no key."""
    if not _KEY.fullmatch(key):
        raise grpc.aio.InternalError(f"metadata key {key!r} is not lower-case ASCII")
    return key.endswith("-bin")
