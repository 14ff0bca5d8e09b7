"""The capability gate asks no more of a request than its rules are about."""

from __future__ import annotations

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ModelConfig
from service.routing import capability


def test_the_messages_are_looked_at_for_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = pb.ChatCompletionRequest(model="m", tools=[pb.Tool(name="f")])
    seeing, blind = _model(["text", "image"]), _model(["text"])
    looked: list[object] = []
    real = capability.look
    monkeypatch.setattr(capability, "look", lambda *a: looked.append(a) or real(*a))

    assert capability.allows(asked, "m", seeing)
    assert looked == []
    assert capability.allows(asked, "m", blind)
    assert len(looked) == 1


def _model(modalities: list[str]) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "targets": [{"provider": "p", "model": "m"}],
            "input_modalities": modalities,
            "supported_features": ["tools"],
        }
    )
