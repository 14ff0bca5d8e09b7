"""What can be set of the process itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from service.config.values import Address, Duration, Frozen, TcpAddress, listed


class TlsConfig(Frozen):
    """A door with TLS, beside the plain one."""

    grpc: Annotated[tuple[TcpAddress, ...], BeforeValidator(listed), Field(min_length=1)] = Field(
        description="Addresses to listen on, HOST:PORT; port 0 takes a free one.",
    )
    cert_file: Path = Field(description="Our certificate and its chain (PEM).")
    key_file: Path = Field(description="Its private key (PEM).")
    client_ca_file: Path | None = Field(
        default=None,
        description="Who signs callers' certificates (PEM): every caller then needs one, and those "
        "of `identities` need no API key.",
    )


class ConnectionsConfig(Frozen):
    """What callers' gRPC connections are held to."""

    max_age: Duration | None = Field(
        default=None,
        description="After about so long (up to a tenth more or less) a connection takes no new "
        "calls, so that its client connects anew, maybe elsewhere; its open calls go on. Default: "
        "never.",
    )
    max_age_grace: Duration | None = Field(
        default=None,
        description="How long open calls may go on after `max_age` before they are broken off; "
        "longer than the longest answer. Default: however long they take.",
    )
    max_streams: int | None = Field(
        default=None,
        ge=1,
        description="Calls at a time on one connection; more wait in the client, unseen. Default: "
        "any number, and `admission` bounds them all.",
    )
    keepalive_time: Duration = Field(
        default=60.0,
        ge=1,
        description="After so much silence a client is pinged; one that vanished is noticed.",
    )
    keepalive_timeout: Duration = Field(
        default=20.0, description="How long the answer to a ping may take; then it is gone."
    )
    min_ping_interval: Duration = Field(
        default=5.0, description="How often clients may ping while nothing else is sent."
    )
    max_ping_strikes: int = Field(
        default=2,
        ge=0,
        description="Pings that came too early, beyond which a connection is closed "
        "(ENHANCE_YOUR_CALM); 0: never.",
    )


class ServerConfig(Frozen):
    """The gRPC door."""

    grpc: Annotated[tuple[Address, ...], BeforeValidator(listed), Field(min_length=1)] = Field(
        default=("127.0.0.1:50051",),
        description="Addresses to listen on: HOST:PORT or unix:PATH; port 0 takes a free one.",
    )
    tls: TlsConfig | None = Field(default=None, description="A door with TLS. Default: none.")
    metrics: TcpAddress | None = Field(
        default=None,
        description="HOST:PORT where metrics are read (GET /metrics); default: nowhere.",
    )
    drain: Duration = Field(
        default=30.0, description="How long open calls may go on after SIGTERM."
    )
    reflection: bool = Field(
        default=True, description="Whether tools may ask which services there are, without a key."
    )
    channelz: bool = Field(
        default=True,
        description="Whether connections and their counters may be asked for, without a key.",
    )
    max_message_bytes: int = Field(
        default=64 * 2**20,
        ge=2**20,
        le=2**31 - 1,
        description="Largest message, of a caller or to one; at least twice the gateway's "
        "`--max-body` where images are sent.",
    )
    connections: ConnectionsConfig = ConnectionsConfig()
    notice: Duration | None = Field(
        default=None,
        description="How long new calls are still taken after SIGTERM, while health says no: "
        "longer than load balancers take to see it. Comes before `drain`.",
    )
    public_models: bool = Field(
        default=False, description="Whether the models can be listed without an API key."
    )


class AdmissionConfig(Frozen):
    """How many chat calls the process works on at a time, and how many may wait for their turn."""

    max_in_flight: int = Field(
        default=10_000,
        ge=1,
        description="Calls at a time, streams until they end; bounds the process's memory.",
    )
    max_queued: int = Field(
        default=100,
        ge=0,
        description="Calls that wait for a place; those beyond are refused with 503 at once.",
    )


class IdempotencyConfig(Frozen):
    """How long, and how much of them, answers are kept for callers that ask again."""

    keep: Duration = Field(default=600.0, description="How long after its end an answer is kept.")
    resume_window: Duration = Field(
        default=30.0,
        description="How long a running answer goes on that nobody reads: its caller may be back.",
    )
    max_answer_bytes: int = Field(
        default=2**20, ge=1024, description="An answer that grows larger is not kept."
    )
    max_bytes: int = Field(
        default=64 * 2**20, ge=1024, description="Of all kept answers; the oldest go first."
    )
