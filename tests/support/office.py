"""What an administrator does, over gRPC."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import grpc
from llmbase.v1 import account_pb2 as pb
from llmbase.v1.account_pb2_grpc import AccountServiceStub, KeyServiceStub

from tests.support.account_door import ADMIN, bearer

DOLLAR = 10**9  # nano-dollars


class Office:
    """An administrator, over gRPC."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.aio.insecure_channel(target)
        self._accounts = AccountServiceStub(self.channel)
        self._keys = KeyServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.channel.close()

    async def account(self, account: str, dollars: int = 0, *, prepaid: bool = True) -> None:
        made = pb.CreateAccountRequest(id=account, prepaid=prepaid)
        await self._accounts.CreateAccount(made, metadata=bearer(ADMIN))
        if dollars:
            credit = pb.CreditAccountRequest(account=account, amount_nanos=dollars * DOLLAR)
            await self._accounts.CreditAccount(credit, metadata=bearer(ADMIN))

    async def key(self, account: str, **fields: Any) -> tuple[str, str]:
        request = pb.CreateKeyRequest(account=account, name="ci", **fields)
        made = await self._keys.CreateKey(request, metadata=bearer(ADMIN))
        return made.key.id, made.secret

    async def revoke(self, key_id: str) -> None:
        await self._keys.RevokeKey(pb.RevokeKeyRequest(id=key_id), metadata=bearer(ADMIN))

    async def settled(self, account: str, calls: int) -> pb.UsageRow:
        """The account's sums, once so many calls are in them."""
        request = pb.ListUsageRequest(account=account, group_by=[pb.USAGE_GROUP_ACCOUNT])
        while True:
            answer = await self._accounts.ListUsage(request, metadata=bearer(ADMIN))
            if answer.rows and answer.rows[0].calls >= calls:
                return answer.rows[0]
            await asyncio.sleep(0.02)
