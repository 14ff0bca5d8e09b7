"""The certificate of the TLS door, as it is on disk: a new one is served to new connections.

gRPC asks for every connection, in a thread of its own, before the handshake. It is told something
only when the files have changed, belong together and are whole.
"""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path
from typing import Any

import grpc

from service.config import TlsConfig
from service.mendable import ConfigError

_LOG = logging.getLogger("llmbase.tls")

Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """The files of a TLS door. Raises ConfigError where they cannot be used from the start."""

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._seen: Stamp = ()
        try:
            self._first = self._read()
        except (OSError, ValueError) as error:
            raise ConfigError(f"server.tls: {_plainly(error)}") from None

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a gRPC server listens with."""
        return grpc.dynamic_ssl_server_credentials(
            self._first, self._changed, self._config.client_ca_file is not None
        )

    def _changed(self) -> Any:
        """Return the new configuration; None while there is none that can be used."""
        with self._lock:
            try:
                if self._stamp() == self._seen:
                    return None
                configuration = self._read()
            except (OSError, ValueError) as error:
                _LOG.warning("certificate not taken over", extra={"fault": type(error).__name__})
                return None
            _LOG.info("certificate taken over")
            return configuration

    def _read(self) -> Any:
        """Read and check the files. Raises OSError, ssl.SSLError among them, and ValueError."""
        config = self._config
        self._seen = before = self._stamp()
        key, certificate = config.key_file.read_bytes(), config.cert_file.read_bytes()
        authority = config.client_ca_file.read_bytes() if config.client_ca_file else None
        check = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        check.load_cert_chain(config.cert_file, config.key_file, password=_no_password)
        if config.client_ca_file is not None:
            check.load_verify_locations(config.client_ca_file)
        if self._stamp() != before:
            self._seen = ()  # one of them is just being written: look again next time
            raise ValueError("the files are being changed")
        return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)

    def _stamp(self) -> Stamp:
        """Return what changes when a file does."""
        return tuple(_stamp(path) for path in self._files())

    def _files(self) -> tuple[Path, ...]:
        config = self._config
        files = (config.key_file, config.cert_file)
        return files if config.client_ca_file is None else (*files, config.client_ca_file)


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _no_password() -> str:
    raise ValueError("key_file must not be encrypted")


def _plainly(error: Exception) -> str:
    """Say what is wrong without quoting what is in the files."""
    if isinstance(error, ssl.SSLError):
        return "the files are no certificate and its key, or do not belong together"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
