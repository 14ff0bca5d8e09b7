"""AccountService: accounts, their money, and what it was spent on."""

from __future__ import annotations

from llmbase.v1 import account_pb2 as pb
from llmbase.v1.account_pb2_grpc import AccountServiceServicer

from service.accounts.caller import OPERATOR, Caller
from service.accounts.registry import Registry
from service.errors import AccountNotFound
from service.rpc import account_validation as validation
from service.rpc.calls import Calls, Context
from service.rpc.managing import Managing, require_admin

_CURRENCY = "USD"
_ALL = "*"


class AccountServicer(AccountServiceServicer):
    """Administrators manage; every caller sees what is its own."""

    def __init__(self, calls: Calls, registry: Registry | None) -> None:
        self._managing = Managing(calls, registry)

    async def CreateAccount(  # noqa: N802 - gRPC's name
        self, request: pb.CreateAccountRequest, context: Context
    ) -> pb.CreateAccountResponse:
        """Make an account."""

        async def create(registry: Registry) -> pb.CreateAccountResponse:
            validation.check_account(request)
            return pb.CreateAccountResponse(account=await registry.create_account(request))

        return await self._managing.manage("CreateAccount", context, create)

    async def ListAccounts(  # noqa: N802 - gRPC's name
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        """Return a page of accounts."""

        async def list_(registry: Registry) -> pb.ListAccountsResponse:
            validation.check_page_size(request.page_size)
            return await registry.list_accounts(request)

        return await self._managing.manage("ListAccounts", context, list_)

    async def CreditAccount(  # noqa: N802 - gRPC's name
        self, request: pb.CreditAccountRequest, context: Context
    ) -> pb.CreditAccountResponse:
        """Add money to an account, or take some back."""

        async def credit(registry: Registry) -> pb.CreditAccountResponse:
            validation.check_credit(request)
            return pb.CreditAccountResponse(account=await registry.credit(request))

        return await self._managing.manage("CreditAccount", context, credit)

    async def GetBalance(  # noqa: N802 - gRPC's name
        self, request: pb.GetBalanceRequest, context: Context
    ) -> pb.GetBalanceResponse:
        """Return what an account has left."""

        async def get(registry: Registry, caller: Caller) -> pb.GetBalanceResponse:
            validation.check_optional_account(request.account)
            account_id = _visible(request.account, caller)
            if account_id == OPERATOR:
                raise AccountNotFound("The API key belongs to no account: there is no balance.")
            account = await registry.account(account_id)
            return pb.GetBalanceResponse(
                currency=_CURRENCY,
                balance_nanos=account.balance_nanos,
                reserved_nanos=account.reserved_nanos,
            )

        return await self._managing.look("GetBalance", context, get)

    async def ListUsage(  # noqa: N802 - gRPC's name
        self, request: pb.ListUsageRequest, context: Context
    ) -> pb.ListUsageResponse:
        """Return a page of sums of what calls used and cost."""

        async def list_(registry: Registry, caller: Caller) -> pb.ListUsageResponse:
            validation.check_usage(request)
            account_id = _visible(request.account, caller)
            return await registry.list_usage(request, None if account_id == _ALL else account_id)

        return await self._managing.look("ListUsage", context, list_)


def _visible(account_id: str, caller: Caller) -> str:
    """Return the account that is asked about, the caller's own if none is named."""
    if account_id and account_id != caller.account_id:
        require_admin(caller, "Another account")
    return account_id or caller.account_id
