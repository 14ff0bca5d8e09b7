"""How long commands wait for an answer of the service, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from llmbase.v1.account_pb2 import ListAccountsRequest
from llmbase.v1.account_pb2_grpc import AccountServiceStub
from llmbase.v1.routing_pb2 import ExplainRouteRequest

from channel.in_process import InProcessServer
from cli import chat, explain, managing, models
from tests.unit.virtual_time import now, run


class _Silent(grpc.GenericRpcHandler):
    """Answers nothing, whatever it is asked."""

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any]:
        async def wait(request: Any, context: Any) -> None:
            await asyncio.Event().wait()

        return grpc.unary_unary_rpc_method_handler(wait)


def silent(_: str) -> Any:
    """Return a channel to a service that answers nothing."""
    server = InProcessServer()
    server.add_generic_rpc_handlers((_Silent(),))
    return server.channel()


async def gives_up_after(work: Awaitable[Any]) -> float:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await work
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return now()


@pytest.mark.parametrize(
    "command",
    [
        lambda: chat._chat("there", "key", None, None, "Hi"),
        lambda: explain._explain("there", "key", ExplainRouteRequest()),
        lambda: models._list("there", "key"),
    ],
    ids=["chat", "explain", "models"],
)
def test_a_command_waits_for_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[], Awaitable[Any]]
) -> None:
    for module in (chat, explain, models):
        monkeypatch.setattr(module, "open_channel", silent)
    assert run(gives_up_after(command())) == 10


def test_one_about_accounts_waits_for_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managing, "open_channel", silent)
    monkeypatch.setattr(managing, "run", run)

    def work(channel: Any, ask: Any) -> Awaitable[float]:
        return gives_up_after(ask(AccountServiceStub(channel).ListAccounts, ListAccountsRequest()))

    assert managing.asking("there", "key", work) == 30
