"""The capability gate: what a model does not advertise is refused before anything runs. Pure.

The rules are the REST contract's: tools <- `tools`; json_object <- `json_mode` or
`structured_outputs`; json_schema <- `structured_outputs`; logprobs <- `logprobs`;
reasoning_effort <- parameter `reasoning_effort`; image part <- input modality `image`.
"""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from service.config import ModelConfig
from service.errors import UnsupportedCapability
from service.providers.seen import Seen, given, look


def check(
    request: ChatCompletionRequest, model_id: str, model: ModelConfig, seen: Seen | None = None
) -> None:
    """Raise UnsupportedCapability, naming the first field that the model cannot honour."""
    features = model.supported_features
    has = given(request, seen)
    if "tools" in has and "tools" not in features:
        raise _lacks("tools", model_id, "tools")
    if "response_format" in has:
        form = has["response_format"].WhichOneof("format")
        if form == "json_object" and not {"json_mode", "structured_outputs"} & set(features):
            raise _lacks("response_format", model_id, "json_object")
        if form == "json_schema" and "structured_outputs" not in features:
            raise _lacks("response_format", model_id, "json_schema")
    if has.get("logprobs") and "logprobs" not in features:
        raise _lacks("logprobs", model_id, "logprobs")
    if "reasoning_effort" in has and "reasoning_effort" not in model.supported_parameters:
        raise _lacks("reasoning_effort", model_id, "reasoning_effort")
    if "image" not in model.input_modalities:
        _check_images(look(request, seen), model_id)


def allows(request: ChatCompletionRequest, model_id: str, model: ModelConfig) -> bool:
    """Whether the model advertises all that the request needs."""
    try:
        check(request, model_id, model)
    except UnsupportedCapability:
        return False
    return True


def _check_images(seen: Seen, model_id: str) -> None:
    if seen.textual:
        return
    for message in seen.others:
        for i, part in enumerate(message.parts):
            if part.HasField("image_url"):
                raise _lacks(f"messages[{message.place}].content[{i}]", model_id, "images")


def _lacks(field: str, model_id: str, what: str) -> UnsupportedCapability:
    return UnsupportedCapability(field, f"the model {model_id} does not support {what}")
