"""KeyService: the API keys of accounts, for administrators."""

from __future__ import annotations

from llmbase.v1 import account_pb2 as pb
from llmbase.v1.account_pb2_grpc import KeyServiceServicer

from service.accounts.registry import Registry
from service.rpc import account_validation as validation
from service.rpc.calls import Calls, Context
from service.rpc.managing import Managing


class KeyServicer(KeyServiceServicer):
    """Makes keys and ends them. A key itself is in one response, and nowhere else."""

    def __init__(self, calls: Calls, registry: Registry | None) -> None:
        self._managing = Managing(calls, registry)

    async def CreateKey(  # noqa: N802 - gRPC's name
        self, request: pb.CreateKeyRequest, context: Context
    ) -> pb.CreateKeyResponse:
        """Make a key."""

        async def create(registry: Registry) -> pb.CreateKeyResponse:
            validation.check_key(request)
            key, secret = await registry.create_key(request)
            return pb.CreateKeyResponse(key=key, secret=secret)

        return await self._managing.manage("CreateKey", context, create)

    async def ListKeys(  # noqa: N802 - gRPC's name
        self, request: pb.ListKeysRequest, context: Context
    ) -> pb.ListKeysResponse:
        """Return a page of keys, ended ones too."""

        async def list_(registry: Registry) -> pb.ListKeysResponse:
            validation.check_optional_account(request.account)
            validation.check_page_size(request.page_size)
            return await registry.list_keys(request)

        return await self._managing.manage("ListKeys", context, list_)

    async def RevokeKey(  # noqa: N802 - gRPC's name
        self, request: pb.RevokeKeyRequest, context: Context
    ) -> pb.RevokeKeyResponse:
        """End a key."""

        async def revoke(registry: Registry) -> pb.RevokeKeyResponse:
            validation.check_key_id(request.id)
            return pb.RevokeKeyResponse(key=await registry.revoke(request.id))

        return await self._managing.manage("RevokeKey", context, revoke)

    async def RotateKey(  # noqa: N802 - gRPC's name
        self, request: pb.RotateKeyRequest, context: Context
    ) -> pb.RotateKeyResponse:
        """Replace a key."""

        async def rotate(registry: Registry) -> pb.RotateKeyResponse:
            validation.check_rotation(request)
            key, secret = await registry.rotate(request)
            return pb.RotateKeyResponse(key=key, secret=secret)

        return await self._managing.manage("RotateKey", context, rotate)
