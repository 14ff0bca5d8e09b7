"""Who calls: from the `authorization` metadata to a caller. Keys are known by their hashes only."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate

from service.config import KeyConfig
from service.errors import InvalidApiKey, MissingApiKey

_LEAST = 16  # printable characters of a key
_MOST = 512


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of an API key: its name, and which models the key may use."""

    name: str
    allowed: re.Pattern[str]

    def may_use(self, model_id: str) -> bool:
        """Whether the key's list of models has this one."""
        return self.allowed.match(model_id) is not None


class Authenticator:
    """Knows the configured keys."""

    def __init__(self, keys: Iterable[KeyConfig]) -> None:
        self._callers = {
            key.sha256: Caller(key.name, re.compile("|".join(map(translate, key.models))))
            for key in keys
        }

    def caller(self, authorization: str | None) -> Caller:
        """Return who holds the key. Raises MissingApiKey, InvalidApiKey.

        Digests are compared, each in constant time: the time taken says nothing about a key.
        """
        if not authorization:
            raise MissingApiKey("No API key was sent: use the header `Authorization: Bearer KEY`.")
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not _LEAST <= len(key) <= _MOST or not key.isprintable():
            raise InvalidApiKey("Invalid API key")
        digest = hashlib.sha256(key.encode()).hexdigest()
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                return caller
        raise InvalidApiKey("Invalid API key")
