"""What gRPC is told of a configuration."""

from __future__ import annotations

from service.config import ServerConfig
from service.rpc import door


def test_nothing_has_an_age_unless_it_is_given_one() -> None:
    told = dict(door.options(ServerConfig()))
    assert not {name for name in told if "age" in name.replace("message", "")}
    assert "grpc.max_concurrent_streams" not in told
    assert told["grpc.enable_channelz"] == 1


def test_what_is_set_is_told_in_grpcs_own_units() -> None:
    config = ServerConfig.model_validate(
        {
            "channelz": False,
            "max_message_bytes": 2**21,
            "connections": {
                "max_age": "30m",
                "max_age_grace": "1h",
                "max_streams": 7,
                "keepalive_time": "2s",
                "keepalive_timeout": "500ms",
                "min_ping_interval": "10s",
                "max_ping_strikes": 0,
            },
        }
    )
    told = dict(door.options(config))
    assert (
        told
        | {
            "grpc.enable_channelz": 0,
            "grpc.max_receive_message_length": 2**21,
            "grpc.max_send_message_length": 2**21,
            "grpc.max_connection_age_ms": 1_800_000,
            "grpc.max_connection_age_grace_ms": 3_600_000,
            "grpc.max_concurrent_streams": 7,
            "grpc.keepalive_time_ms": 2000,
            "grpc.keepalive_timeout_ms": 500,
            "grpc.http2.ping_timeout_ms": 500,
            "grpc.http2.min_recv_ping_interval_without_data_ms": 10_000,
            "grpc.http2.max_ping_strikes": 0,
        }
        == told
    )
