"""What the labels of our metrics can be: from the configuration and the contract, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llmbase.v1 import account_pb2, chat_completion_pb2, model_pb2, routing_pb2
from llmbase.v1.error_reason_pb2 import ErrorReason

from service.accounts.limits import Limit
from service.config import Config

_PREFIX = "ERROR_REASON_"
_NO_ERRORS = frozenset({"OK", "CANCELLED"})


def known_labels(config: Config, rest_fields: Iterable[str] = ()) -> Mapping[str, frozenset[str]]:
    """Return the values of each label.

    `rest_fields` are a request's fields that the REST door knows and the contract has no place for.
    """
    services = (
        *chat_completion_pb2.DESCRIPTOR.services_by_name.values(),
        *model_pb2.DESCRIPTOR.services_by_name.values(),
        *routing_pb2.DESCRIPTOR.services_by_name.values(),
        *account_pb2.DESCRIPTOR.services_by_name.values(),
    )
    request = chat_completion_pb2.ChatCompletionRequest.DESCRIPTOR
    reasons = (word.removeprefix(_PREFIX) for word, number in ErrorReason.items() if number)
    return {
        "kind": frozenset({"event", "enum", "joined", "kept"}),
        "limit": frozenset(limit.value for limit in Limit),
        "method": frozenset(method.name for service in services for method in service.methods),
        "parameter": frozenset({*request.fields_by_name, *rest_fields}),
        "provider": frozenset(config.providers),
        "reason": frozenset(reasons) | _NO_ERRORS,
        "result": frozenset({"applied", "refused"}),
        "status": frozenset({"401", "403"}),
        "work": frozenset({"reserve", "settle", "renew", "lapse"}),
    }
