"""How the door closes: newcomers are turned away, chats inside may end within the grace."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

from gateway.errors import HttpError, service_unavailable

# How long a chat that was cut may take to say so to its client, in seconds.
_FAREWELL = 2.0


class Drain:
    """Knows the chats inside. One per application, made in the loop that serves it.

    It is the context of each chat's stay, and raises HttpError on the way in and at the grace's
    end.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.closing = False  # newcomers are still served, and asked to go elsewhere next time
        self.draining = False
        self.inside: set[asyncio.Task[Any]] = set()
        self.cut: set[asyncio.Task[Any]] = set()  # of them, at the end of the grace

    def refusal(self) -> HttpError:
        """Return what a newcomer is told while the door closes."""
        return service_unavailable("The server is shutting down. Please retry.")

    def __enter__(self) -> None:
        if self.draining:
            raise self.refusal()
        task: Any = asyncio.current_task(self._loop)
        self.inside.add(task)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task: Any = asyncio.current_task(self._loop)
        self.inside.discard(task)
        if task in self.cut:
            by_us_alone = task.uncancel() == 0
            # As asyncio.timeout does: a cancellation that we asked for is ours to translate.
            if by_us_alone and kind is asyncio.CancelledError:
                raise self.refusal() from None

    async def close(self, grace: float, notice: float = 0.0) -> None:
        """Turn newcomers away, wait up to `grace` seconds for those inside, then cut them off.

        For `notice` seconds before that they are still let in, while `closing` tells load
        balancers, and clients that keep their connections, to go elsewhere.
        """
        self.closing = True
        if notice:
            await asyncio.sleep(notice)
        self.draining = True
        late = await _ended(self.inside, grace)
        self.cut |= late
        for task in late:
            task.cancel()
        await _ended(late, _FAREWELL)


async def _ended(tasks: set[asyncio.Task[Any]], seconds: float) -> set[asyncio.Task[Any]]:
    """Wait for the tasks to end; return those that have not."""
    return (await asyncio.wait(tasks, timeout=seconds))[1] if tasks else set()
