"""Who could answer: from a model's id to its targets in the order in which they are tried."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest

from service.config import ModelConfig
from service.errors import ModelNotFound
from service.providers.provider import AnyProvider
from service.routing import capability
from service.routing.policy import POLICIES

_SANE_ID = re.compile(r"[!-)+\--~]{1,256}")  # as the configuration wants ids


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target to try: under which public model, at which provider, by which name there.

    `parameters` is the model's policy for what the target cannot honour.
    """

    model_id: str
    provider: AnyProvider
    provider_model: str
    parameters: Literal["strict", "warn", "drop"] = "warn"


class Router:
    """Knows the models. Holds no state of its own beyond the configuration and chance."""

    def __init__(
        self,
        models: Mapping[str, ModelConfig],
        providers: Mapping[str, AnyProvider],
        chance: random.Random,
    ) -> None:
        self._models = models
        self._providers = providers
        self._chance = chance
        # The longest wildcard says most about the model.
        self._wildcards = sorted(
            (model_id[:-1] for model_id in models if model_id.endswith("*")), key=len, reverse=True
        )

    def models(self) -> Mapping[str, ModelConfig]:
        """Return the models by id, without the wildcards: those name no model of their own."""
        return {key: model for key, model in self._models.items() if not key.endswith("*")}

    def model(self, model_id: str) -> ModelConfig:
        """Return the model of that id. Raises ModelNotFound."""
        return self._resolve(model_id)[0]

    def candidates(
        self, request: ChatCompletionRequest, may_serve: Callable[[str], bool]
    ) -> Iterator[Candidate]:
        """Yield the targets of the model, then those of its fallback models.

        A fallback model must advertise all that the request needs, and `may_serve` must let it.
        Raises ModelNotFound.
        """
        model = self.model(request.model)
        yield from self._targets(request.model)
        for model_id in model.fallbacks:
            if may_serve(model_id) and capability.allows(request, model_id, self.model(model_id)):
                yield from self._targets(model_id)

    def _targets(self, model_id: str) -> Iterator[Candidate]:
        model, matched = self._resolve(model_id)
        ordered = POLICIES[model.policy](model.targets, self._chance)
        for target in ordered[: model.max_attempts]:
            provider = self._providers[target.provider]
            yield Candidate(model_id, provider, target.model or matched, model.parameters)

    def _resolve(self, model_id: str) -> tuple[ModelConfig, str]:
        """Return the model and the part of its id that a target's own name defaults to."""
        model = self._models.get(model_id)
        if model is not None and not model_id.endswith("*"):
            return model, model_id
        for prefix in self._wildcards if _SANE_ID.fullmatch(model_id) else ():
            if model_id.startswith(prefix) and len(model_id) > len(prefix):
                return self._models[prefix + "*"], model_id[len(prefix) :]
        raise ModelNotFound(f"Model not found: {model_id[:256]}")
