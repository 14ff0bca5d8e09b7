"""The most tokens that a call can use, before anybody has counted them. Pure."""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, Message

from service.config import ModelConfig
from service.routing.money import output_bound

__all__ = ["input_bound", "output_bound"]

# In tokens. What providers add around texts is not told; these are well above what we have seen.
_REQUEST = 64
_MESSAGE = 8
_TOOLS = 512
_IMAGE = 2048


def input_bound(request: ChatCompletionRequest, model: ModelConfig) -> int:
    """Return how many tokens the prompt can have: a token is a byte of UTF-8 at least.

    What a message takes on the wire is a little more than its texts, and has them all.
    """
    pictured = "image" in model.input_modalities  # else a request with images is refused
    most = _REQUEST + _MESSAGE * len(request.messages)
    most += sum(_message(it) if pictured else it.ByteSize() for it in request.messages)
    if request.tools:
        most += _TOOLS + sum(tool.ByteSize() for tool in request.tools)
    if request.HasField("response_format"):
        most += request.response_format.ByteSize()
    return min(most, model.context_length or most)


def _message(message: Message) -> int:
    # An image can be megabytes of text: it is not looked at. It stands in users' messages, which
    # have nothing else but a name.
    if not any(part.HasField("image_url") for part in message.content):
        return message.ByteSize()
    return len(message.name.encode()) + sum(
        _IMAGE if part.HasField("image_url") else part.ByteSize() for part in message.content
    )
