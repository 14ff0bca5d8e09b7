"""What a side has to say: all that is ready in one turn of the loop leaves as one message.

Frames are read in the order in which they were put, whoever's they are. No call gets ahead of
another, and none can fill the outbox: what it may put there is bounded by its credit. All together
can, when the stream takes nothing any more: who has much to say is to look whether it is `full`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

_LARGE: Final = 256 * 1024  # bytes after which a message takes no more frames
_MUCH: Final = 4 * 1024 * 1024  # bytes after which nobody is to add much
_MANY: Final = 8  # of what is long, after which nobody is to add more

Frame = tuple[int, dict[str, Any]]  # its size, and its fields


class Outbox:
    """Frames on their way into one stream. `new_message` makes a message with `frames`.

    `on_room` is called when it is no longer `full`.
    """

    def __init__(
        self, new_message: Callable[[], Any], on_room: Callable[[], None] | None = None
    ) -> None:
        self._new_message = new_message
        self._on_room = on_room
        self._messages: deque[Any] = deque()
        self._sizes: deque[int] = deque()  # of the messages
        self._long: dict[int, Iterator[Frame]] = {}  # by the call; whose turn it is first
        self._wake: asyncio.Future[None] | None = None
        self._closed = False
        self.waiting = 0  # bytes that the stream has not taken

    @property
    def full(self) -> bool:
        """Whether the stream is far behind with what there is."""
        return self.waiting >= _MUCH

    @property
    def busy(self) -> bool:
        """Whether so much is long already that more is better off elsewhere."""
        return len(self._long) >= _MANY

    def put(self, size: int = 0, **frame: Any) -> None:
        """Adds a frame of about `size` bytes, given by its fields. In vain when closed."""
        if self._closed:
            return
        sizes = self._sizes
        if not sizes or sizes[-1] >= _LARGE:
            self._messages.append(self._new_message())
            sizes.append(0)
        self._messages[-1].frames.add(**frame)
        sizes[-1] += size
        self.waiting += size
        if self._wake is not None:
            self._rouse()

    def put_long(self, call: int, frames: Iterator[Frame]) -> None:
        """Adds a call's frames that are large together: one of them goes with each message."""
        self._long[call] = frames
        self._rouse()

    def drop_long(self, call: int) -> None:
        """Forgets what a call has not sent of them."""
        self._long.pop(call, None)

    def close(self) -> None:
        """Takes no more frames; `run` returns when those that are there have left."""
        self._closed = True
        self._rouse()

    async def run(self, write: Callable[[Any], Awaitable[Any]]) -> None:
        """Writes until it is closed, or until a write fails, with its error."""
        while True:
            self._go_on()
            if self._messages:
                size = self._sizes.popleft()
                await write(self._messages.popleft())
                was_full = self.full
                self.waiting -= size
                if was_full and not self.full and self._on_room is not None:
                    self._on_room()
            elif self._closed:
                return
            else:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake

    def _go_on(self) -> None:
        """Puts the next frame of what is long, in turn."""
        while self._long:
            call = next(iter(self._long))
            frames = self._long.pop(call)
            frame = next(frames, None)
            if frame is not None:
                self._long[call] = frames  # behind the others
                size, fields = frame
                self.put(size, **fields)
                return

    def _rouse(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)
