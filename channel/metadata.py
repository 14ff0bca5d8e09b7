"""Metadata as it looks after it has gone over the wire: what gRPC refuses is refused here too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, cast

import grpc

_KEY: Final = re.compile(r"[0-9a-z_.-]+")
# The types of values under keys that were seen: a program has few, and uses them in every call.
_KINDS: Final[dict[str, type[Any]]] = {}
_MOST_KEYS: Final = 256  # of which a peer could send any number

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
    if type(sent) is tuple:  # as nearly always, and nothing in it is to be changed, nor wrong
        texts = []
        try:
            for entry in sent:
                if type(entry) is not tuple:  # it may be an iterator: to be gone through once
                    break
                key, value = entry
                if _KINDS[key] is str:
                    texts.append(value)
                elif type(value) is not bytes:
                    break
            else:
                text = "".join(texts)
                if text.isascii() and text.isprintable():
                    return sent
        except (KeyError, TypeError, ValueError):
            pass  # a key that is new, what is no pair, or no text
    if isinstance(sent, dict):
        raise TypeError("metadata is a sequence of pairs, not a dict")
    return tuple([_entry(key, value) for key, value in tuple(map(tuple, sent))])


def received_texts(texts: Sequence[str]) -> Entries:
    """The entries of keys and values by turns. Raises as `received`; ValueError if they are odd."""
    return received(tuple(zip(texts[::2], texts[1::2], strict=True)))


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
    if _kind(key) is bytes:
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


def _kind(key: str) -> type[Any]:
    """The type of what is under the key. Raises InternalError if it is no key."""
    kind = _KINDS.get(key)
    if kind is None:
        if not _KEY.fullmatch(key):
            raise grpc.aio.InternalError(f"metadata key {key!r} is not lower-case ASCII")
        if len(_KINDS) == _MOST_KEYS:
            _KINDS.clear()
        kind = _KINDS[key] = bytes if key.endswith("-bin") else str
    return kind
