"""One connection to the shared limiter, and an end to every wait for it.

What is asked while an answer is awaited goes out together next, in the order in which it came. A
server that is slow is treated as one that is gone: the connection is given up, with whatever may
still come over it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.accounts.shared_connection import Connection, Reconnecting, look
from service.accounts.shared_scripts import Script

_MOST_AT_ONCE = 256  # commands
_MOST_KEPT = 100_000  # commands that are told again later; beyond it the oldest are forgotten
_GATHER = 0.002  # seconds that what nobody waits for may be gathered
_LAST_PASSES = 4  # turns of the loop for an answer that has come while the loop was busy


class NoAnswer(Exception):
    """The server has not answered in time, or not what was to be answered."""


@dataclass(slots=True)
class Command:
    """A script to be run. `answer`: for whom; None: nobody waits, and it is told until it arrives.

    `unclaimed` is called when what the script has done is nobody's: with the answer where the
    asker has gone, with None where no answer came.
    """

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    answer: asyncio.Future[Any] | None = None
    unclaimed: Callable[[Any], None] | None = None

    def packed(self) -> tuple[str, ...]:
        """Return it in the protocol's words."""
        return ("EVALSHA", self.script.sha, str(len(self.keys)), *self.keys, *self.arguments)


class Line:
    """`connection` makes one that is not connected yet; `timeout` is in seconds.

    `refusal` is what it raises where a command was answered with an error: the connection is
    given up then, too, as the scripts may be gone. Each exchange ends in a call of `answered` or
    of `silent`.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        refusal: type[Exception],
        timeout: float,
        answered: Callable[[], None],
        silent: Callable[[Exception], None],
    ) -> None:
        self._connection = Reconnecting(connection)
        self._refusal = refusal
        self._timeout = timeout
        self._answered = answered
        self._silent = silent
        self._waiting: deque[Command] = deque()
        self._kept: deque[Command] = deque(maxlen=_MOST_KEPT)
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._gathering: asyncio.TimerHandle | None = None

    async def ask(
        self,
        script: Script,
        keys: tuple[str, ...],
        arguments: tuple[str, ...],
        unclaimed: Callable[[Any], None] | None = None,
    ) -> Any:
        """Run a script. Raises NoAnswer: it may have run, may not, or may still."""
        if self._closed:
            raise NoAnswer
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(Command(script, keys, arguments, answer, unclaimed))
        self.hurry()
        try:
            return await answer
        except asyncio.CancelledError:
            # It may have come in the very moment in which the asker was to go.
            if unclaimed and answer.done() and not answer.cancelled() and not answer.exception():
                unclaimed(answer.result())
            raise

    def tell(self, script: Script, keys: tuple[str, ...], arguments: tuple[str, ...]) -> None:
        """Have a script run some time, perhaps twice."""
        self._kept.append(Command(script, keys, arguments))
        self._idle.clear()
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(_GATHER, self.hurry)

    def hurry(self) -> None:
        """Do now what is to be done."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        self._work.set()

    async def told(self) -> None:
        """Return when everything that was told has arrived."""
        await self._idle.wait()

    async def run(self) -> None:
        """Exchange, until it is cancelled."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while (batch := self._batch()) and await self._exchange(batch):
                    pass
                if not self._kept:
                    self._idle.set()
        finally:
            await self._end()

    def _batch(self) -> list[Command]:
        """Take what goes out together: first what was told, as calls may wait for its effect.

        However much that is, half of the places are for calls.
        """
        batch: list[Command] = []
        while self._kept and len(batch) < _MOST_AT_ONCE // 2:
            batch.append(self._kept.popleft())
        while self._waiting and len(batch) < _MOST_AT_ONCE:
            command = self._waiting.popleft()
            if command.answer is not None and not command.answer.done():
                batch.append(command)
        return batch

    async def _exchange(self, batch: list[Command]) -> bool:
        """Send and hand out the answers; tell whether there were any."""
        exchange = asyncio.get_running_loop().create_task(self._send(batch))
        exchange.add_done_callback(look)
        try:
            await asyncio.wait([exchange], timeout=self._timeout)
            for _ in range(_LAST_PASSES):
                if not exchange.done():
                    await asyncio.sleep(0)
            if not exchange.done():
                raise TimeoutError
            answers = exchange.result()
        except BaseException as error:
            exchange.cancel()
            await self._connection.drop()
            self._fail(batch)
            if not isinstance(error, Exception):
                raise
            self._silent(error)
            return False
        refusals = [answer for answer in answers if isinstance(answer, Exception)]
        if refusals:
            await self._connection.drop()
            self._silent(refusals[0])
        else:
            self._answered()
        for command, answer in zip(batch, answers, strict=True):
            _hand_out(command, answer)
        return True

    async def _send(self, batch: list[Command]) -> list[Any]:
        connection = await self._connection.get()
        packed = connection.pack_commands([command.packed() for command in batch])
        await connection.send_packed_command(packed, check_health=False)
        # Every answer is read, or the connection is given up: none is ever taken for another.
        return [await self._read(connection) for _ in batch]

    async def _read(self, connection: Connection) -> Any:
        try:
            return await connection.read_response(timeout=math.inf)
        except self._refusal as refusal:
            return refusal

    def _fail(self, batch: list[Command]) -> None:
        """Keep what was told, and send away who asked, with those who have waited as long."""
        self._kept.extendleft(command for command in reversed(batch) if command.answer is None)
        for command in batch:
            if command.answer is not None and command.unclaimed is not None:
                command.unclaimed(None)
            _refuse(command)
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        while self._waiting:
            _refuse(self._waiting.popleft())

    async def _end(self) -> None:
        self._closed = True
        self._refuse_waiting()
        if self._gathering is not None:
            self._gathering.cancel()
        await self._connection.close()


def _hand_out(command: Command, answer: Any) -> None:
    if command.answer is None:
        return
    if isinstance(answer, Exception):
        _refuse(command)
    elif not command.answer.done():
        command.answer.set_result(answer)
    elif command.unclaimed is not None:
        command.unclaimed(answer)


def _refuse(command: Command) -> None:
    if command.answer is not None and not command.answer.done():
        command.answer.set_exception(NoAnswer())
