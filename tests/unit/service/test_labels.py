"""What the labels of metrics can be."""

from __future__ import annotations

from gateway import labels as door
from service.config import Config
from service.labels import known_labels
from service.rpc.status import _CODES
from telemetry.metrics import METRICS, OF_THE_DOOR, OF_THE_SERVICE

CONFIG = Config.model_validate(
    {
        "providers": {"acme": {"dialect": "openai"}},
        "models": {"acme/one": {"targets": [{"provider": "acme"}]}},
    }
)


def test_every_label_of_every_metric_has_values_where_it_is_counted() -> None:
    named = {metric.name for metric in (*OF_THE_SERVICE, *OF_THE_DOOR)}
    assert named == {metric.name for metric in METRICS}
    service, rest = known_labels(CONFIG), door.known_labels(["/v1/models"])
    for known, metrics in ((service, OF_THE_SERVICE), (rest, OF_THE_DOOR)):
        for metric in metrics:
            for label in metric.labels:
                assert known[label], f"{metric.name}: {label}"


def test_every_reason_that_an_rpc_can_end_with_is_known() -> None:
    reasons = known_labels(CONFIG)["reason"]
    assert {reason for _, reason in _CODES.values()} | {"OK", "CANCELLED"} <= reasons
    assert "UNSPECIFIED" not in reasons


def test_providers_are_known_by_name_and_methods_by_the_contracts() -> None:
    known = known_labels(CONFIG)
    assert known["provider"] == {"acme"}
    assert {"CreateChatCompletion", "StreamChatCompletion", "ListModels"} <= known["method"]


def test_fields_are_known_from_the_contract_and_from_whoever_knows_more() -> None:
    contract, rest = known_labels(CONFIG)["parameter"], door.known_labels([])["parameter"]
    assert {"temperature", "logit_bias"} <= contract & rest
    assert "verbosity" in rest - contract
    assert "made_up_by_a_caller" not in contract | rest
