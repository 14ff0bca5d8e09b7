"""What a request has, by one look at all that is there: most of what can be is not."""

from __future__ import annotations

from typing import Any

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

_NAMES = {field: field.name for field in ChatCompletionRequest.DESCRIPTOR.fields}


def given_fields(request: ChatCompletionRequest) -> dict[str, Any]:
    """Return the values of the fields that are there, by their names."""
    return {_NAMES[field]: value for field, value in request.ListFields()}
