"""What a call does to the books: money is held before it, and what it cost is settled after it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, RouteFacts, Usage
from llmbase.v1.routing_pb2 import RouteTrace

from service.accounts import bounds
from service.accounts.caller import Caller
from service.accounts.prices import PriceTable
from service.accounts.records import Reservation, Settlement
from service.config import AccountsConfig, ModelConfig
from service.errors import (
    DeadlineExceeded,
    Error,
    PriceUnknown,
    ServiceUnavailable,
    TotalLimitExceeded,
)
from service.money import TOKEN_CLASSES, Nanos, Prices, cost, output_tokens, tokens_of, worst_case
from service.providers import estimate
from service.providers.call import Call
from service.routing.router import Router
from telemetry.metrics import CHARGED, TOKENS, Metrics
from telemetry.registry import AllSeries

_AT_WORK = ("cancelled", "lost")  # the outcomes of attempts that were going on at the end
_NOTHING = Nanos(0)
_CLASSES = tuple(enumerate(TOKEN_CLASSES))  # of tokens, as they are counted


class Holds(Protocol):
    """Holds money; see `reserving.Reservations`."""

    async def reserve(self, reservation: Reservation) -> None: ...  # noqa: D102


class Settles(Protocol):
    """Writes what calls cost; see `ledger.Ledger`."""

    def settle(self, settlement: Settlement) -> None: ...  # noqa: D102

    def release(self, reservation: Reservation) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Books:
    """Where charges are written down. `now` gives Unix seconds, `reason` is an error's word.

    Without a ledger nothing is kept, and nobody can be made to pay.
    """

    ledger: Settles | None
    now: Callable[[], float]
    reason: Callable[[Error], str]
    metrics: Metrics
    tokens: AllSeries  # by model and class


class Charging:
    """Opens a charge for each call; see `Books`."""

    def __init__(
        self,
        config: AccountsConfig,
        reservations: Holds,
        ledger: Settles | None,
        now: Callable[[], float],
        reason: Callable[[Error], str],
        metrics: Metrics,
    ) -> None:
        self.config = config
        self._reservations = reservations
        tokens = metrics.of(TOKENS, "model", "token_class")
        self._books = Books(ledger, now, reason, metrics, tokens)

    def open(
        self, caller: Caller, request: ChatCompletionRequest, prices: PriceTable, call: Call
    ) -> Charge:
        """Begin a call's charge, for which nothing is held yet. Whoever holds the charge closes it.

        Who `pays` is to have money held before the call is worked on.
        """
        books = self._books
        call_id = "" if books.ledger is None else secrets.token_hex(16)
        return Charge(caller, request, call, prices, call_id, books)

    async def hold(self, charge: Charge, router: Router) -> None:
        """Hold what the call may cost at most.

        Raises InsufficientBalance, SpendCapReached, PriceUnknown, ServiceUnavailable (the store is
        away) and what ends the call's wait: DeadlineExceeded.
        """
        reservation = charge.most(router, int(self._books.now()))
        if reservation is None:
            if self.config.unpriced == "refuse":
                raise PriceUnknown(f"The model {charge.model_id} has no price.")
            return
        with charge.call.wait:  # outside: the end of a drain is no store that is away
            try:
                await self._reservations.reserve(reservation)
            except ServiceUnavailable:
                # Then it is taken on trust: what it cost is settled when the store is back.
                if self.config.store_down == "refuse":
                    raise
        charge.reservation = reservation


class Charge:
    """One call in the books, from the money that is held for it to its row in the ledger."""

    def __init__(
        self,
        caller: Caller,
        request: ChatCompletionRequest,
        call: Call,
        prices: PriceTable,
        call_id: str,
        books: Books,
    ) -> None:
        self.reservation: Reservation | None = None  # what is held
        self.tokens = 0  # that were used, as far as is known
        self.call = call
        self.model_id = request.model
        # Whether somebody pays who may not have the money, or not be allowed to spend it.
        self.pays = caller.prepaid or caller.cap is not None
        self._caller = caller
        self._request = request
        self._prices = prices
        self._call_id = call_id
        self._books = books
        self._open = True

    def most(self, router: Router, now: int) -> Reservation | None:
        """Return what is to be held for it; None where its model has no price."""
        price = self._price()
        if price is None:
            return None
        caller, request = self._caller, self._request
        return Reservation(
            self._call_id,
            self.call.request_id,
            caller.account_id,
            caller.key_id,
            caller.prepaid,
            caller.cap,
            self.model_id,
            _most(price, request, router.model(self.model_id)),
            self._prices.version,
            now,
        )

    def room(self) -> int | None:
        """Return how many characters of an answer what is held pays for; None: it is not bounded.

        A provider says what it has used at the end only. So this is more than it would be by our
        estimate: no answer that keeps to its bound is to be cut for having long words.
        """
        held = self.reservation
        if held is None or (price := self._price()) is None or not price.completion:
            return None
        prompt = cost(price, Usage(prompt_tokens=estimate.prompt_tokens(self._request)))
        return estimate.most_characters(output_tokens(price, Nanos(held.amount - prompt)))

    def settle(
        self, usage: Usage, route: RouteFacts, trace: RouteTrace, ended: BaseException | None = None
    ) -> None:
        """Write what the call cost, once. `ended` is what ended it, None if it was answered.

        The trace has the price of it: by the requested or the served model, whichever is cheaper.
        """
        full = Nanos(trace.charge_nanos) if trace.HasField("charge_nanos") else None
        self._settle(usage, route, trace, ended, full)

    def fail(self, error: BaseException, trace: RouteTrace) -> None:
        """The call ended without an answer: it costs nothing, unless it was left at work.

        A provider that was working on it when its caller left, or when the caller's time was over,
        has read the prompt.
        """
        working = [it for it in trace.attempts if it.outcome in _AT_WORK and it.sent]
        if working and _is_the_callers(error):
            asked = trace.candidates[working[0].candidate]  # what was beside it, a hedge, is ours
            route = RouteFacts(served_model=asked.model, provider=asked.provider)
            usage = estimate.usage(self._request, 0)
            price = self._price()
            self._settle(usage, route, trace, error, cost(price, usage) if price else None)
        else:
            self.close()

    def close(self) -> None:
        """Give back what is held, if nothing was settled."""
        if self._open:
            self._open = False
            if self.reservation is not None and self._books.ledger is not None:
                self._books.ledger.release(self.reservation)

    def _price(self) -> Prices | None:
        """Return the prices of its model; most calls pay nobody, and do not ask."""
        return self._prices.of(self.model_id)

    def _settle(
        self,
        usage: Usage,
        route: RouteFacts,
        trace: RouteTrace,
        ended: BaseException | None,
        full: Nanos | None,
    ) -> None:
        if not self._open:
            return
        self._open = False
        self.tokens = usage.total_tokens
        charged = _NOTHING if full is None else min(full, self._most(full))
        books, model, numbers = self._books, self.model_id, tokens_of(usage)
        for place, token_class in _CLASSES:
            if number := numbers[place]:
                books.tokens[model, token_class].number += number
        if charged:
            books.metrics.count(CHARGED, charged, model=model)
        if books.ledger is None:
            return
        books.ledger.settle(
            Settlement(
                self._call_id,
                self.call.request_id,
                self._caller.account_id,
                self._caller.key_id,
                int(books.now()),
                self._outcome(ended),
                model,
                route.served_model,
                route.provider,
                usage,
                None if full is None else self._prices.version,
                charged,
                Nanos((full or 0) - charged),
                provider_cost(trace),
                self.reservation,
            )
        )

    def _most(self, full: Nanos) -> Nanos:
        """Return the most that may be charged.

        Of who pays, and had nothing held since the model has no price, that is nothing: a fallback
        that has one may have answered.
        """
        if self.reservation is not None:
            return self.reservation.amount
        return _NOTHING if self.pays else full

    def _outcome(self, ended: BaseException | None) -> str:
        if ended is None:
            return "OK"
        return self._books.reason(ended) if isinstance(ended, Error) else "CANCELLED"


def provider_cost(trace: RouteTrace) -> Nanos | None:
    """Return what all attempts cost us, as far as is known."""
    known = [it.cost_nanos for it in trace.attempts if it.HasField("cost_nanos")]
    return Nanos(sum(known)) if known else None


def _is_the_callers(error: BaseException) -> bool:
    """Whether the caller ended the call: it left, or its time was over."""
    if isinstance(error, asyncio.CancelledError):
        return True
    return isinstance(error, DeadlineExceeded) and not isinstance(error, TotalLimitExceeded)


def _most(price: Prices, request: ChatCompletionRequest, model: ModelConfig) -> Nanos:
    return worst_case(
        price,
        bounds.input_bound(request, model),
        bounds.output_bound(request, model),
        request.n or 1,
    )
