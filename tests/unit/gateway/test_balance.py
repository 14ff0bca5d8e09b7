"""GET /v1/balance: decimal strings that are exact, and the usual errors."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmbase.v1 import account_pb2 as pb

from gateway.balance import decimal_text
from tests.unit.gateway.scripted_service import Gateway


async def test_the_balance_is_told_in_decimal_strings(gateway: Gateway) -> None:
    gateway.service.balance = pb.GetBalanceResponse(currency="USD", balance_nanos=12_345_678_900)

    reply = await gateway.request("GET", "/v1/balance", headers={"Authorization": "Bearer key"})

    assert reply.status == 200
    assert reply.json == {
        "object": "balance",
        "currency": "USD",
        "balance": "12.345678900",
        "reserved": "0.000000000",
    }
    call = gateway.service.calls[-1]
    assert call.metadata["authorization"] == "Bearer key"
    assert call.request == pb.GetBalanceRequest()


async def test_a_balance_that_is_not_kept_is_an_error_as_any_other(gateway: Gateway) -> None:
    reply = await gateway.request("GET", "/v1/balance")

    assert (reply.status, reply.error["code"]) == (404, "account_not_found")


async def test_only_get_asks_for_a_balance(gateway: Gateway) -> None:
    reply = await gateway.request("POST", "/v1/balance")

    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (-1_000_000_001, "-1.000000001"),
        (2**63 - 1, "9223372036.854775807"),
        (-(2**63), "-9223372036.854775808"),
    ],
)
def test_edges_of_what_there_can_be_are_exact(nanos: int, text: str) -> None:
    assert decimal_text(nanos) == text


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_amount_is_exact(nanos: int) -> None:
    assert Decimal(decimal_text(nanos)).scaleb(9) == nanos
