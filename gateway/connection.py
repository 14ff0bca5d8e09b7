"""The gRPC connection from a gateway to its service in another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from gateway.address import parse_address

# What a message may hold beyond the body it came from: names of fields, ids, route facts.
_SLACK = 1024 * 1024
# Milliseconds: after so much silence a peer is pinged, and so long it may take to answer.
_SILENCE, _PATIENCE = 40_000, 20_000

_TLS = "grpcs://"


def largest_message(max_body: int) -> int:
    """Return how many bytes a message may have where bodies have up to `max_body`."""
    return max_body + _SLACK


@dataclass(frozen=True, slots=True)
class ServiceTls:
    """Files (PEM) for a service that is spoken to with TLS: whom to trust, and who we are."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def open_channel(service: str, max_body: int, tls: ServiceTls | None = None) -> grpc.aio.Channel:
    """Return a channel to HOST:PORT, unix:PATH or grpcs://HOST:PORT.

    Bodies may have up to `max_body` bytes. Retries are the service's business (it knows what was
    sent to whom): the channel makes none. Raises ValueError for no address, or files that do not
    fit it, and OSError for one that cannot be read.
    """
    credentials = _credentials(service, tls or ServiceTls())
    target = str(parse_address(service.removeprefix(_TLS)))
    options: list[tuple[str, int]] = [
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_send_message_length", largest_message(max_body)),
        ("grpc.max_receive_message_length", largest_message(max_body)),
        # Windows that grow with the speed of the line would let in megabytes of each stream that a
        # slow client does not take: what it does not take is to stay with the provider.
        ("grpc.http2.bdp_probe", 0),
        # A peer that vanished is noticed in a minute, also while an answer is awaited.
        ("grpc.keepalive_time_ms", _SILENCE),
        ("grpc.keepalive_timeout_ms", _PATIENCE),
        ("grpc.http2.ping_timeout_ms", _PATIENCE),  # else a minute, whatever the line above says
        ("grpc.http2.max_pings_without_data", 0),
        # A service that was restarted is found again soon.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)


def _credentials(service: str, tls: ServiceTls) -> grpc.ChannelCredentials | None:
    if not service.startswith(_TLS):
        if tls != ServiceTls():
            raise ValueError(f"certificates are for a service at {_TLS}HOST:PORT, not {service}")
        return None
    if (tls.cert is None) != (tls.key is None):
        raise ValueError("a certificate for the service, and its key, go together")
    ca, key, cert = (_read(path) for path in (tls.ca, tls.key, tls.cert))
    return grpc.ssl_channel_credentials(ca, key, cert)


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
