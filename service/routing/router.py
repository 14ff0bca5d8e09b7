"""Who could answer: from a model's id to its targets in the order in which they are tried."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from llmbase.v1.routing_pb2 import RouteStanding

from service.config import ModelConfig, PricingConfig, TargetConfig
from service.errors import ModelNotFound
from service.providers.provider import AnyProvider
from service.routing import money, policy
from service.routing.board import Board, TargetState
from service.routing.breaker import State
from service.routing.policy import Standing

_SANE_ID = re.compile(r"[!-)+\--~]{1,256}")  # as the configuration wants ids


class Candidate(NamedTuple):
    """A target to try: under which public model, at which provider, by which name there.

    `listed` is its place among the model's targets; `available` says whether its breaker let it
    take part in the order.
    """

    model_id: str
    model: ModelConfig
    target: TargetConfig
    provider: AnyProvider
    provider_model: str
    state: TargetState
    listed: int
    standing: Standing
    available: bool

    @property
    def parameters(self) -> Literal["strict", "warn", "drop"]:
        """The model's policy for what the target cannot honour."""
        return self.model.parameters

    @property
    def pricing(self) -> PricingConfig | None:
        """What the target costs, as far as is known."""
        return self.target.pricing or self.model.pricing

    def standing_to_proto(self) -> RouteStanding:
        """Return what put it in its place, as the trace has it."""
        return RouteStanding(
            weight=self.standing.weight,
            current_weight=self.standing.current_weight,
            price_nanos=self.standing.price,
            in_flight=self.standing.in_flight,
            first_content=self.standing.first_content,
            available=self.available,
        )


class Router:
    """Knows the models. What changes from call to call is the board's."""

    def __init__(
        self,
        models: Mapping[str, ModelConfig],
        providers: Mapping[str, AnyProvider],
        board: Board,
    ) -> None:
        self._models = models
        self._providers = providers
        self._board = board
        self._named = {
            key: (model, key, key) for key, model in models.items() if not key.endswith("*")
        }

    def models(self) -> Mapping[str, ModelConfig]:
        """Return the models by id, without the wildcards: those name no model of their own."""
        return {key: model for key, model in self._models.items() if not key.endswith("*")}

    def model(self, model_id: str) -> ModelConfig:
        """Return the model of that id. Raises ModelNotFound."""
        return self._resolve(model_id)[0]

    def candidates(
        self, model_id: str, *, stream: bool, draw: int, session: int | None, dry: bool = False
    ) -> list[Candidate]:
        """Return the model's targets in order; those whose breaker is open come first, as listed:
        they are passed over, and the trace says so.

        `draw` and `session` as in `policy.order`. Unless it is a `dry` run, the first is counted
        as chosen. Raises ModelNotFound.
        """
        model, matched, known_as = self._resolve(model_id)
        weights = self._board.weights.setdefault(known_as, [0] * len(model.targets))
        if len(weights) != len(model.targets):
            weights[:] = [0] * len(model.targets)
        able: list[Candidate] = []
        unable: list[Candidate] = []
        for listed, target in enumerate(model.targets):
            state = self._board.target(target.provider, target.model or known_as)
            candidate = Candidate(
                model_id,
                model,
                target,
                self._providers[target.provider],
                target.model or matched,
                state,
                listed,
                self._standing(model, target, state, weights[listed], stream),
                available=state.state() is not State.OPEN,
            )
            (able if candidate.available else unable).append(candidate)
        if not able:
            return unable
        standings = [candidate.standing for candidate in able]
        ordered = policy.order(model.policy, standings, draw, session if model.affinity else None)
        if model.policy == "weighted" and not dry:
            scores = policy.next_weights(standings, ordered[0])
            for candidate, score in zip(able, scores, strict=True):
                weights[candidate.listed] = score
        return unable + [able[i] for i in ordered]

    def _standing(
        self, model: ModelConfig, target: TargetConfig, state: TargetState, score: int, stream: bool
    ) -> Standing:
        return Standing(
            name=f"{target.provider}/{target.model or ''}",
            weight=target.weight,
            current_weight=score,
            price=money.rate(model, target) if model.policy == "cheapest" else None,
            in_flight=state.in_flight,
            first_content=state.latency(stream=stream).average(self._board.clock()),
        )

    def _resolve(self, model_id: str) -> tuple[ModelConfig, str, str]:
        """Return the model, the part of its id that a target's own name defaults to, its key."""
        if (named := self._named.get(model_id)) is not None:
            return named
        key = known_as(self._models, model_id)
        if key is None:
            raise ModelNotFound(f"Model not found: {model_id[:256]}")
        return self._models[key], model_id[len(key) - 1 :] if key[-1] == "*" else model_id, key


def known_as(models: Mapping[str, ModelConfig], model_id: str) -> str | None:
    """Return which of the configured models an id means: that of its name, or a wildcard."""
    if model_id in models and not model_id.endswith("*"):
        return model_id
    if not _SANE_ID.fullmatch(model_id):
        return None
    wildcards = (
        key
        for key in models
        if key[-1] == "*" and model_id.startswith(key[:-1]) and len(model_id) >= len(key)
    )
    return max(wildcards, key=len, default=None)  # the longest says most about the model
