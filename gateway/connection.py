"""The gRPC connection from a gateway to its service in another process."""

from __future__ import annotations

import grpc

from gateway.address import parse_address

# What a message may hold beyond the body it came from: names of fields, ids, route facts.
_SLACK = 1024 * 1024


def largest_message(max_body: int) -> int:
    """Return how many bytes a message may have where bodies have up to `max_body`."""
    return max_body + _SLACK


def open_channel(service: str, max_body: int) -> grpc.aio.Channel:
    """Return a channel to HOST:PORT or unix:PATH for bodies of up to `max_body` bytes.

    Retries are the service's business (it knows what was sent to whom): the channel makes none.
    Raises ValueError for no address.
    """
    options: list[tuple[str, int]] = [
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_send_message_length", largest_message(max_body)),
        ("grpc.max_receive_message_length", largest_message(max_body)),
        # Windows that grow with the speed of the line would let in megabytes of each stream that a
        # slow client does not take: what it does not take is to stay with the provider.
        ("grpc.http2.bdp_probe", 0),
        # A peer that vanished is noticed in a minute, also while an answer is awaited.
        ("grpc.keepalive_time_ms", 40_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A service that was restarted is found again soon.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    return grpc.aio.insecure_channel(str(parse_address(service)), options=options)
