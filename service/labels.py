"""What the labels of our metrics can be: from the configuration and the contract, and no more."""

from __future__ import annotations

from collections.abc import Mapping

from llmbase.v1 import account_pb2, chat_completion_pb2, model_pb2, routing_pb2
from llmbase.v1.error_reason_pb2 import ErrorReason

from service.accounts.limits import Limit
from service.admission.priority import Priority
from service.config import Config
from service.money import TOKEN_CLASSES
from service.routing.attempt import OUTCOMES, PURPOSES
from service.routing.breaker import State

_PREFIX = "ERROR_REASON_"
_NO_ERRORS = frozenset({"OK", "CANCELLED"})


def known_labels(config: Config) -> Mapping[str, frozenset[str]]:
    """Return the values of each label of the service's metrics."""
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
        "model": frozenset(config.models),
        "outcome": OUTCOMES,
        "parameter": frozenset(request.fields_by_name),
        "priority": frozenset(priority.value for priority in Priority),
        "provider": frozenset(config.providers),
        "purpose": frozenset(PURPOSES.values()),
        "reason": frozenset(reasons) | _NO_ERRORS,
        "result": frozenset({"applied", "refused"}),
        "state": frozenset(state.value for state in State),
        "status": frozenset({"401", "403"}),
        "token_class": frozenset(TOKEN_CLASSES),
        "work": frozenset({"reserve", "settle", "renew", "lapse"}),
    }
