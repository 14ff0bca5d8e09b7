"""What a call does to the books: money is held before it, and what it cost is settled after it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple, Protocol

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
from service.money import Nanos, Prices, Tokens, cost, output_tokens, tokens_of, worst_case
from service.providers import estimate
from service.providers.call import Call
from service.routing.router import Router
from telemetry.metrics import CHARGED, TOKENS, Metrics
from telemetry.registry import AllSeries

_AT_WORK = ("cancelled", "lost")  # the outcomes of attempts that were going on at the end
_NOTHING = Nanos(0)
_CLASSES = tuple(enumerate(Tokens._fields))  # of tokens, as they are counted


class Holds(Protocol):
    """Holds money; see `reserving.Reservations`."""

    async def reserve(self, reservation: Reservation) -> None: ...  # noqa: D102


class Settles(Protocol):
    """Writes what calls cost; see `ledger.Ledger`."""

    def settle(self, settlement: Settlement) -> None: ...  # noqa: D102

    def release(self, reservation: Reservation) -> None: ...  # noqa: D102


class Books(NamedTuple):
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

    async def open(
        self,
        caller: Caller,
        request: ChatCompletionRequest,
        router: Router,
        prices: PriceTable,
        call: Call,
    ) -> Charge:
        """Hold what the call may cost at most. Whoever holds the charge closes it.

        Raises InsufficientBalance, SpendCapReached, PriceUnknown, ServiceUnavailable (the store is
        away) and what ends the call's wait: DeadlineExceeded.
        """
        call_id = "" if self._books.ledger is None else secrets.token_hex(16)
        model_id = request.model
        price = prices.of(model_id)
        reservation = None
        if caller.prepaid or caller.cap is not None:
            if price is None and self.config.unpriced == "refuse":
                raise PriceUnknown(f"The model {model_id} has no price.")
            if price is not None:
                reservation = Reservation(
                    call_id,
                    call.request_id,
                    caller.account_id,
                    caller.key_id,
                    caller.prepaid,
                    caller.cap,
                    model_id,
                    _most(price, request, router.model(model_id)),
                    prices.version,
                    int(self._books.now()),
                )
                await self._hold(reservation, call)
        return Charge(
            caller,
            model_id,
            request,
            call,
            price,
            prices.version,
            reservation,
            call_id,
            self._books,
        )

    async def _hold(self, reservation: Reservation, call: Call) -> None:
        try:
            with call.wait:
                await self._reservations.reserve(reservation)
        except ServiceUnavailable:
            # Then it is taken on trust: what it cost is settled when the store is back.
            if self.config.store_down == "refuse":
                raise


class Charge:
    """One call in the books, from the money that is held for it to its row in the ledger."""

    tokens = 0  # that were used, as far as is known
    _open = True

    def __init__(
        self,
        caller: Caller,
        model_id: str,
        request: ChatCompletionRequest,
        call: Call,
        price: Prices | None,
        price_version: str,
        reservation: Reservation | None,
        call_id: str,
        books: Books,
    ) -> None:
        self._caller = caller
        self._model_id = model_id
        self._request = request
        self._call = call
        self._price = price
        self._price_version = price_version
        self._reservation = reservation
        self._call_id = call_id
        self._books = books

    def room(self) -> int | None:
        """Return how many characters of an answer what is held pays for; None: it is not bounded.

        A provider says what it has used at the end only. So this is more than it would be by our
        estimate: no answer that keeps to its bound is to be cut for having long words.
        """
        held, price = self._reservation, self._price
        if held is None or price is None or not price.completion:
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
            price = self._price
            self._settle(usage, route, trace, error, cost(price, usage) if price else None)
        else:
            self.close()

    def close(self) -> None:
        """Give back what is held, if nothing was settled."""
        if self._open:
            self._open = False
            if self._reservation is not None and self._books.ledger is not None:
                self._books.ledger.release(self._reservation)

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
        self._count(usage, charged)
        books = self._books
        if books.ledger is None:
            return
        books.ledger.settle(
            Settlement(
                self._call_id,
                self._call.request_id,
                self._caller.account_id,
                self._caller.key_id,
                int(books.now()),
                self._outcome(ended),
                self._model_id,
                route.served_model,
                route.provider,
                usage,
                None if full is None else self._price_version,
                charged,
                Nanos((full or 0) - charged),
                provider_cost(trace),
                self._reservation,
            )
        )

    def _count(self, usage: Usage, charged: Nanos) -> None:
        model, series, tokens = self._model_id, self._books.tokens, tokens_of(usage)
        for place, token_class in _CLASSES:
            if number := tokens[place]:
                series[model, token_class].count(number)
        if charged:
            self._books.metrics.count(CHARGED, charged, model=model)

    def _most(self, full: Nanos) -> Nanos:
        """Return the most that may be charged.

        Of who pays, and had nothing held since the model has no price, that is nothing: a fallback
        that has one may have answered.
        """
        if self._reservation is not None:
            return self._reservation.amount
        pays = self._caller.prepaid or self._caller.cap is not None
        return _NOTHING if pays else full

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
