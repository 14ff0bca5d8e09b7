"""How calls end, and what that is to their callers."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import grpc

from channel.metadata import Entries, as_mapping

# To look a member up in its enumeration costs as much as a call; most calls end with this.
OK: Final = grpc.StatusCode.OK


class Status(NamedTuple):
    """How a call ended. `local` marks the caller's own doing, which it sees as CancelledError."""

    code: grpc.StatusCode
    details: str = ""
    trailing_metadata: Entries = ()
    local: bool = False

    def error(self, initial_metadata: Entries) -> BaseException:
        """What a caller gets of a call that did not end well: CancelledError for its own doing."""
        if self.local:
            return asyncio.CancelledError()
        return grpc.aio.AioRpcError(
            self.code,
            as_mapping(initial_metadata),
            as_mapping(self.trailing_metadata),
            self.details,
        )


# In the words that gRPC has for the same.
DEADLINE_EXCEEDED: Final = Status(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
UNKNOWN_METHOD: Final = Status(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
CUT_BY_STOP: Final = Status(grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")
REFUSED: Final = Status(grpc.StatusCode.UNAVAILABLE, "The server is stopping.")
CANCELLED: Final = Status(
    grpc.StatusCode.CANCELLED, "Locally cancelled by application!", local=True
)
DROPPED: Final = Status(grpc.StatusCode.CANCELLED, "Cancelled upon garbage collection!", local=True)
# Over the wire the caller of such a handler would hear nothing until its deadline.
SELF_CANCELLED: Final = Status(grpc.StatusCode.UNKNOWN, "The handler cancelled itself.")
# Over the wire the caller would wait for an end that never comes.
SECOND_MESSAGE: Final = Status(
    grpc.StatusCode.INTERNAL, "More than one message answers a unary call."
)
