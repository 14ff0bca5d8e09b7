"""A dry run of a call's plan: every target is looked at as if those before it had failed."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from service.errors import InvalidRequest
from service.providers.call import Call
from service.routing.plan import Plan
from service.routing.run import check_parameters


def explain(plan: Plan, request: ChatCompletionRequest, call: Call, *, stream: bool) -> None:
    """Go through a dry plan to its end; its trace says the rest."""
    encodable = not _has_distant_images(request)
    while (step := plan.next()) is not None:
        if not encodable:
            continue  # to know whether it fits, its images would have to be fetched
        candidate = step.candidate
        try:
            http = candidate.provider.encode(request, candidate.provider_model, call, stream=stream)
            check_parameters(candidate, http)
        except InvalidRequest:
            plan.unfit(step)


def _has_distant_images(request: ChatCompletionRequest) -> bool:
    return any(
        part.HasField("image_url") and not part.image_url.url.startswith("data:")
        for message in request.messages
        for part in message.content
    )
