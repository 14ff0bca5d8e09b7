"""Whether a request wants the model to think, for providers where that is a switch."""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb


def wants_thinking(request: pb.ChatCompletionRequest) -> bool | None:
    """Return whether a model that can be told so should think; None where nothing is said.

    `reasoning_effort` says it, else a switch of the chat template, which is the same question in
    the words of the models' own templates.
    """
    if request.reasoning_effort:
        return request.reasoning_effort != pb.REASONING_EFFORT_NONE
    switches = request.chat_template_kwargs
    if switches.HasField("enable_thinking"):
        return switches.enable_thinking
    return switches.thinking if switches.HasField("thinking") else None
