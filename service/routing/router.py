"""Who could answer: from a model's id to its targets in the order in which they are tried."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from llmbase.v1.chat_completion_pb2 import RouteFacts
from llmbase.v1.routing_pb2 import RouteCandidate, RouteStanding

from service.config import ModelConfig
from service.errors import ModelNotFound
from service.providers.provider import AnyProvider
from service.routing import money, policy
from service.routing.board import Board, TargetState
from service.routing.breaker import OPEN
from service.routing.policy import Standing

_SANE_ID = re.compile(r"[!-)+\--~]{1,256}")  # as the configuration wants ids


class Candidate:
    """A target to try: under which public model, at which provider, by which name there.

    `listed` is its place among the model's targets; `hedged` says whether another may be asked
    beside it; `parameters` is the model's policy for what the target cannot honour; `max_attempts`
    is how many a call may make at the model's targets, `most_in_flight` how many all calls may at
    this one. `cost` is what the target costs us and `price` what the model costs the caller, as far
    as is known. What an answer at the first attempt says of it is there to be copied: `facts`.

    How it fares is in its `state`; `standing` is what policies make of that, as of when they last
    looked. Nothing else of it changes.
    """

    __slots__ = (
        "_row",
        "cost",
        "facts",
        "hedged",
        "listed",
        "max_attempts",
        "model",
        "model_id",
        "most_in_flight",
        "parameters",
        "price",
        "provider",
        "provider_model",
        "standing",
        "state",
        "target",
    )

    def __init__(
        self,
        model_id: str,
        model: ModelConfig,
        listed: int,
        provider: AnyProvider,
        provider_model: str,
        state: TargetState,
    ) -> None:
        self.model_id = model_id
        self.model = model
        self.target = target = model.targets[listed]
        self.provider = provider
        self.provider_model = provider_model
        self.state = state
        self.listed = listed
        self.hedged = model.hedge is not None and model.hedge.enabled
        self.parameters: Literal["strict", "warn", "drop"] = model.parameters
        self.cost = money.prices(target.pricing or model.pricing)
        self.price = money.prices(model.pricing)
        self.max_attempts = model.max_attempts or len(model.targets)
        self.most_in_flight = target.max_in_flight
        rate = money.rate(self.cost) if model.policy == "cheapest" else None
        self.standing = Standing(
            f"{target.provider}/{target.model or ''}", weight=target.weight, price=rate
        )
        self.facts = RouteFacts(
            requested_model=model_id, served_model=model_id, provider=provider.name, attempts=1
        )
        self._row = RouteCandidate(
            model=model_id,
            provider=provider.name,
            provider_model=provider_model,
            listed=listed,
            standing=RouteStanding(weight=target.weight, price_nanos=rate, available=True),
        )

    def stand(self, score: int, now: float, *, stream: bool) -> None:
        """Look what puts it in its place; `standing` says so until it is looked at again.

        `score` is smooth weighting's; `now` is in monotonic seconds.
        """
        state, standing = self.state, self.standing
        latency = state.stream if stream else state.whole
        standing.current_weight = score
        standing.in_flight = state.in_flight
        standing.first_content = latency.average(now)
        standing.available = state.state() is not OPEN

    def tell(self, row: RouteCandidate) -> RouteCandidate:
        """Write into a new row of a trace how it stands; return the row."""
        row.CopyFrom(self._row)
        traced, standing = row.standing, self.standing
        if standing.in_flight:
            traced.in_flight = standing.in_flight
        if not standing.available:
            traced.available = False
        if standing.current_weight:
            traced.current_weight = standing.current_weight
        if standing.first_content is not None:
            traced.first_content = standing.first_content
        return row


class Router:
    """Knows the models. What changes from call to call is the board's, and so is the `clock`."""

    def __init__(
        self,
        models: Mapping[str, ModelConfig],
        providers: Mapping[str, AnyProvider],
        board: Board,
    ) -> None:
        self._models = models
        self._providers = providers
        self._board = board
        self.clock = board.clock
        self._named = {key: model for key, model in models.items() if not key.endswith("*")}
        self._candidates: dict[str, tuple[Candidate, ...]] = {}  # of models that were asked

    def models(self) -> Mapping[str, ModelConfig]:
        """Return the models by id, without the wildcards: those name no model of their own."""
        return self._named

    def model(self, model_id: str) -> ModelConfig:
        """Return the model of that id. Raises ModelNotFound."""
        return self._named.get(model_id) or self._models[self._known_as(model_id)]

    def candidates(
        self,
        model_id: str,
        now: float,
        *,
        stream: bool,
        draw: int,
        session: int | None,
        dry: bool = False,
    ) -> Sequence[Candidate]:
        """Return the model's targets in order; how each stands `now` is in its `standing`. Those
        whose breaker is open come first, as listed: they are passed over, and the trace says so.

        `draw` and `session` as in `policy.order`. Unless it is a `dry` run, the first is counted
        as chosen. Raises ModelNotFound.
        """
        every = self._candidates.get(model_id) or self._made(model_id)
        if len(every) == 1:
            every[0].stand(0, now, stream=stream)  # its score stays 0, whatever its weight
            return every
        model = every[0].model
        weights = self._board.weights[self._known_as(model_id)]
        for candidate in every:
            candidate.stand(weights[candidate.listed], now, stream=stream)
        able = [it for it in every if it.standing.available]
        if not able:
            return every
        competing = [it.standing for it in able]
        ordered = policy.order(model.policy, competing, draw, session if model.affinity else None)
        if model.policy == "weighted" and not dry:
            scores = policy.next_weights(competing, ordered[0])
            for candidate, score in zip(able, scores, strict=True):
                weights[candidate.listed] = score
        unable = [it for it in every if not it.standing.available]
        return unable + [able[i] for i in ordered]

    def _made(self, model_id: str) -> tuple[Candidate, ...]:
        """Return a model's targets as listed, and keep them, unless a caller has chosen its id."""
        key = self._known_as(model_id)
        model, named = self._models[key], key == model_id
        # What a target's own name defaults to: of a wildcard, what stands for its `*`.
        default = model_id if named else model_id[len(key) - 1 :]
        made = tuple(
            Candidate(
                model_id,
                model,
                listed,
                self._providers[target.provider],
                target.model or default,
                self._board.target(target.provider, target.model or key),
            )
            for listed, target in enumerate(model.targets)
        )
        self._board.weights.setdefault(key, [0] * len(made))
        if named:
            self._candidates[model_id] = made
        return made

    def _known_as(self, model_id: str) -> str:
        """Return the configuration's key for a model. Raises ModelNotFound."""
        key = known_as(self._models, model_id)
        if key is None:
            raise ModelNotFound(f"Model not found: {model_id[:256]}")
        return key


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
