"""The certificate of the REST door, as it is on disk: a new one is served to new connections.

The files are looked at for every handshake; connections that are open keep what they have. Files
that cannot be used change nothing, and are said once.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

_LOG = logging.getLogger("llmbase.tls")

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Our certificate with its chain, and its private key; both PEM."""

    cert: Path
    key: Path


class Certificate:
    """What a door listens with. Raises OSError, ValueError for files that cannot be used."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = self._stamp()
        self._current = self._read()
        self.context = self._read()
        # Called in every handshake, also in those that name no server.
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        try:
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                self._current = self._read()
                _LOG.info("certificate taken over")
        except (OSError, ValueError) as error:
            _LOG.warning("certificate not taken over", extra={"fault": type(error).__name__})
        connection.context = self._current

    def _read(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.set_alpn_protocols(["http/1.1"])
        try:
            made.load_cert_chain(self._files.cert, self._files.key, password=_no_password)
        except ssl.SSLError:
            names = f"{self._files.cert}, {self._files.key}"
            what = "are no certificate and its key, or do not belong together"
            raise ValueError(f"{names}: {what}") from None
        return made

    def _stamp(self) -> Stamp:
        """Return what changes when a file does. Raises OSError."""
        return tuple(_stamp(path) for path in (self._files.cert, self._files.key))


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _no_password() -> str:
    raise ValueError("the key must not be encrypted")
