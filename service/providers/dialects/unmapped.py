"""The fields of a request that many providers have nothing for, by their names in REST.

A dialect whose provider has nothing for any of them names them from here. A field that asks for
what happens anyway is not named.
"""

from __future__ import annotations

from collections.abc import Iterator

from llmbase.v1 import chat_completion_pb2 as pb

_USUAL_TIERS = ("", "auto", "default")


def names(request: pb.ChatCompletionRequest) -> Iterator[str]:
    """Yield the names of those that the request asks for something with."""
    if request.HasField("parallel_tool_calls") and not request.parallel_tool_calls:
        yield "parallel_tool_calls"
    if request.n > 1:
        yield "n"
    if request.logit_bias:
        yield "logit_bias"
    if request.HasField("prompt_cache_key"):
        yield "prompt_cache_key"
    if request.HasField("user"):
        yield "user"
    if request.metadata:
        yield "metadata"
    if request.service_tier not in _USUAL_TIERS:
        yield "service_tier"
    if request.chat_template_kwargs.HasField("preserve_thinking"):
        yield "chat_template_kwargs"
    if any(message.name and message.role != pb.ROLE_TOOL for message in request.messages):
        yield "messages[].name"
