"""How an answer came about, as the caller is told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llmbase.v1.chat_completion_pb2 import RouteFacts

from service.routing.router import Candidate


def of(
    requested: str, to: Candidate, models: Sequence[str], ignored: Iterable[str], attempts: int
) -> RouteFacts:
    """Return the facts of an answer by a target, after so many attempts at these models."""
    fallback = to.model_id != requested
    return RouteFacts(
        requested_model=requested,
        served_model=to.model_id,
        provider=to.provider.name,
        attempts=attempts,
        fallback_applied=fallback,
        fallback_reason="model_unavailable" if fallback else "",
        fallback_chain=models if fallback else (),
        ignored_parameters=ignored if to.parameters == "warn" else (),
    )
