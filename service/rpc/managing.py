"""What the RPCs about accounts and keys have in common: who may, whether anything is kept, a log.

They wait for the store, so they are never a part of a chat call's way.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from service.accounts.caller import Caller
from service.accounts.registry import Registry
from service.errors import AdminRequired, ServiceUnavailable
from service.rpc.calls import Calls, Context

_LOG = logging.getLogger("llmbase.accounts")
M = TypeVar("M", bound=Message)


class Managing:
    """Answers RPCs about what a registry keeps; None: nothing is kept here."""

    def __init__(self, calls: Calls, registry: Registry | None) -> None:
        self._calls = calls
        self._registry = registry

    async def look(
        self, method: str, context: Context, work: Callable[[Registry, Caller], Awaitable[M]]
    ) -> M:
        """Answer what every caller may ask, by `work`; it checks what of it the caller may see."""
        try:
            caller = await self._calls.known(context)
            response = await work(self._kept(), caller)
            self._calls.count(method, "OK")
            return response
        except Exception as error:
            await self._calls.abort(context, error, method, None)

    async def manage(
        self, method: str, context: Context, work: Callable[[Registry], Awaitable[M]]
    ) -> M:
        """Answer what administrators alone may ask, by `work`."""

        async def checked(registry: Registry, caller: Caller) -> M:
            response = await work(registry)
            extra = {"method": method, "key": caller.name, "subject": _subject(response)}
            _LOG.info("managed", extra=extra)
            return response

        return await self.look(method, context, lambda r, c: checked(r, require_admin(c)))

    def _kept(self) -> Registry:
        if self._registry is None:
            raise ServiceUnavailable(
                "Accounts are not kept here: the configuration says `store: null`."
            )
        return self._registry


def require_admin(caller: Caller, what: str = "This") -> Caller:
    """Return the caller, an administrator. Raises AdminRequired."""
    if not caller.admin:
        raise AdminRequired(f"{what} is for administrators: the API key needs `admin`.")
    return caller


def _subject(response: Message) -> str:
    """Return the id of what a response is about; empty: of many things."""
    for field in ("key", "account"):
        if field in response.DESCRIPTOR.fields_by_name:
            return str(getattr(response, field).id)
    return ""
