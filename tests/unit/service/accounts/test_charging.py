"""What a call that has ended is charged, by what was held for it and what its model costs."""

from __future__ import annotations

import asyncio
import dataclasses
import random

import pytest
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.routing_pb2 import RouteTrace

from service.accounts.caller import Caller, SpendCap, allowing
from service.accounts.charging import Charge, Charging
from service.accounts.prices import PriceTable
from service.config import AccountsConfig, ModelConfig, PricingConfig
from service.errors import ServiceUnavailable
from service.money import Nanos
from service.providers.call import Call
from service.routing.board import Board
from service.routing.router import Router
from telemetry.metrics import Metrics

CALLER = Caller("ci", "key_1", allowing(("*",)), "acme")
ROUTE = pb.RouteFacts(served_model="other", provider="p")


class _Books:
    """Holds whatever it is asked to, and keeps what it is told."""

    def __init__(self):
        self.settled = []

    async def reserve(self, reservation):
        pass

    def settle(self, settlement):
        self.settled.append(settlement)

    def release(self, reservation):
        pass


async def _charge(caller: Caller, pricing: PricingConfig | None, **request) -> tuple[Charge, list]:
    books = _Books()
    config = AccountsConfig(unpriced="allow")
    charging = Charging(config, books, books, lambda: 1_800_000_000.0, type, Metrics({}))
    model = ModelConfig(targets=[{"provider": "p"}], pricing=pricing)
    asked = pb.ChatCompletionRequest(
        model="m",
        messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hello")])],
        **request,
    )
    models = {"m": model}
    router, prices = (
        Router(models, {}, Board({}, lambda: 0.0, random.Random(1))),
        PriceTable(models),
    )
    charge = charging.open(caller, asked, prices, Call("r"))
    if charge.pays:
        await charging.hold(charge, router)
    return charge, books.settled


@pytest.mark.parametrize(
    ("caller", "charged"),
    [
        (CALLER, 700),
        (dataclasses.replace(CALLER, prepaid=True), 0),
        (dataclasses.replace(CALLER, cap=SpendCap(Nanos(500), "day")), 0),
    ],
)
async def test_who_pays_gets_a_model_without_a_price_for_nothing_whoever_answers(caller, charged):
    charge, settled = await _charge(caller, None)
    charge.settle(pb.Usage(total_tokens=7), ROUTE, RouteTrace(charge_nanos=700))
    [entry] = settled
    assert (entry.cost, entry.excess) == (charged, 700 - charged)


async def test_an_answer_within_its_max_tokens_is_not_cut_for_having_long_words():
    caller = dataclasses.replace(CALLER, prepaid=True)
    pricing = PricingConfig(prompt="0.000001", completion="0.000004")
    charge, _ = await _charge(caller, pricing, max_tokens=1000)
    assert 1000 * 6 < charge.room() < 1000 * 10


async def test_the_end_of_a_drain_is_not_taken_for_a_store_that_is_away():
    class Away(_Books):
        async def reserve(self, reservation):
            await asyncio.Event().wait()

    books = Away()
    config = AccountsConfig(store_down="serve")
    charging = Charging(config, books, books, lambda: 1_800_000_000.0, type, Metrics({}))
    pricing = PricingConfig(prompt="0.000001", completion="0.000004")
    models = {"m": ModelConfig(targets=[{"provider": "p"}], pricing=pricing)}
    asked = pb.ChatCompletionRequest(model="m", messages=[pb.Message(role=pb.ROLE_USER)])
    caller, call = dataclasses.replace(CALLER, prepaid=True), Call("r")
    charge = charging.open(caller, asked, PriceTable(models), call)
    router = Router(models, {}, Board({}, lambda: 0.0, random.Random(1)))
    holding = asyncio.create_task(charging.hold(charge, router))
    await asyncio.sleep(0)
    call.wait.end(ServiceUnavailable("The server is shutting down.", retry_after=1))
    with pytest.raises(ServiceUnavailable):
        await holding
    assert charge.reservation is None
