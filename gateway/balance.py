"""GET /v1/balance: what the caller's account has left, in US dollars as decimal strings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import orjson
from llmbase.v1 import account_pb2 as pb

from gateway.errors import from_rpc
from gateway.exchange import Exchange, metadata, timeout
from gateway.whole_answer import WholeAnswer

if TYPE_CHECKING:
    from llmbase.v1.account_pb2_grpc import AccountServiceAsyncStub

_NANO = 1_000_000_000


class Balance:
    """The handler."""

    def __init__(self, stub: AccountServiceAsyncStub) -> None:
        self._stub = stub

    async def get(self, exchange: Exchange) -> WholeAnswer:
        """Return the balance of the caller's account. Raises HttpError."""
        call = self._stub.GetBalance(
            pb.GetBalanceRequest(), metadata=metadata(exchange), timeout=timeout(exchange)
        )
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None
        finally:
            call.cancel()
        body = {
            "object": "balance",
            "currency": answer.currency,
            "balance": decimal_text(answer.balance_nanos),
            "reserved": decimal_text(answer.reserved_nanos),
        }
        return WholeAnswer(exchange, orjson.dumps(body))


def decimal_text(nanos: int) -> str:
    """Return nano-dollars as dollars with all nine decimals; no float comes near it."""
    dollars, rest = divmod(abs(nanos), _NANO)
    return f"{'-' if nanos < 0 else ''}{dollars}.{rest:09d}"
