"""What a worker is told, and its share of what is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from cli.workers import worker
from cli.workers.worker import Worker
from service.config import Config
from service.mendable import ConfigError

PLAIN: dict[str, Any] = {
    "store": None,
    "admission": {"max_in_flight": 10, "max_queued": 2},
    "providers": {"acme": {"dialect": "openai", "base_url": "http://127.0.0.1:1/v1"}},
    "models": {
        "a/one": {"targets": [{"provider": "acme", "max_in_flight": 5}, {"provider": "acme"}]}
    },
}


def config(**more: Any) -> Config:
    return Config.model_validate(PLAIN | more)


def test_the_shares_of_all_workers_add_up_to_the_whole() -> None:
    workers = [Worker(number, 4, grpc=("127.0.0.1:1",)) for number in range(4)]
    found = [one.adjust(config()) for one in workers]
    assert [one.admission.max_in_flight for one in found] == [3, 3, 2, 2]
    assert [one.admission.max_queued for one in found] == [1, 1, 0, 0]
    assert [one.models["a/one"].targets[0].max_in_flight for one in found] == [2, 1, 1, 1]
    assert {one.models["a/one"].targets[1].max_in_flight for one in found} == {None}
    assert sum(one.idempotency.max_bytes for one in found) == config().idempotency.max_bytes
    assert {one.server.grpc for one in found} == {("127.0.0.1:1",)}


def test_one_that_is_alone_has_everything() -> None:
    assert Worker().adjust(config()) is not None
    assert Worker().adjust(config()) == config()


def test_what_a_worker_is_told_arrives() -> None:
    told = Worker(1, 3, "127.0.0.1:8", ("127.0.0.1:5", "[::1]:6"), (), "unix:/x")
    assert worker.from_environment({worker.VARIABLE: told.to_text()}) == told
    assert worker.from_environment({}) is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"store": {}}, "^shared: .* `store`"),
        ({"keys": [{"name": "a", "sha256": "0" * 64, "max_active": 1}]}, "keys.0.max_active"),
        (
            {"identities": [{"name": "a", "uri": "spiffe://a/b", "tokens_per_minute": 1}]},
            "identities.0.tokens_per_minute",
        ),
        ({"providers": {"acme": {"dialect": "embedded"}}}, "^providers.acme: "),
        (
            {"models": {"a/one": {"targets": [{"provider": "acme", "max_in_flight": 1}]}}},
            "^models.a/one.targets.0.max_in_flight: 1 cannot",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        worker.check(config(**more), 2)


def test_with_a_shared_server_limits_are_kept() -> None:
    worker.check(config(store={}, shared={"url": "redis://127.0.0.1"}), 2)
