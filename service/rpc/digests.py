"""From what a caller sends to the digest that its key is known by. No key is kept."""

from __future__ import annotations

import hashlib
import os

from service.errors import InvalidApiKey

_LEAST = 16  # printable characters of a key
_MOST = 512
_REMEMBERED = 4096  # headers


class Digests:
    """Finds the SHA-256 of keys, and remembers it for those that come again.

    A key comes with every call, and SHA-256 is OpenSSL's, which goes through more code for one than
    a processor's nearest caches should have to hold. So a header is known again by another digest,
    which the interpreter makes itself and salts anew in every process: it tells keys apart as well
    as SHA-256 does. Both are all that is remembered.
    """

    def __init__(self) -> None:
        self._salted = hashlib.blake2b(salt=os.urandom(hashlib.blake2b.SALT_SIZE))
        self._known: dict[bytes, str] = {}

    def of(self, authorization: str) -> str:
        """Return the digest, in hex, of the key in an `authorization`. Raises InvalidApiKey."""
        seen = self._salted.copy()
        seen.update(authorization.encode("utf-8", "surrogatepass"))
        mark = seen.digest()
        digest = self._known.get(mark)
        if digest is None:
            digest = _sha256(authorization)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()  # who still calls is soon known again
            self._known[mark] = digest
        return digest


def _sha256(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not _LEAST <= len(key) <= _MOST or not key.isprintable():
        raise InvalidApiKey("Invalid API key")
    return hashlib.sha256(key.encode()).hexdigest()
