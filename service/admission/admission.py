"""How many calls this process serves at a time, who waits for a place, and who is sent away.

A bound keeps the memory and the waiting of a process that is asked too much finite: what is over
it waits in a short queue, and what would wait in vain is told so while it can still go elsewhere.

While calls of both priorities wait, of five places that come free four go to interactive calls and
one to a batch call: batch work is slow then, but never stands still. A full queue sheds batch calls
first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from service.admission.priority import Priority
from service.errors import Error, ServiceUnavailable
from service.providers.call import Wait

_TURNS = 5  # places that come free, of which one is for batch
_SHORTEST, _LONGEST = 1.0, 30.0  # seconds that a caller is told to wait
_SMOOTHING = 0.1  # how much one call says of how long calls take

Place = asyncio.Future[None]


class Admission:
    """The places of a process and the queue for them. `clock` gives monotonic seconds.

    Every entered call leaves, whatever happens. No place is free while a call waits, so nobody is
    overtaken by who has just come.
    """

    def __init__(self, max_in_flight: int, max_queued: int, clock: Callable[[], float]) -> None:
        self._max_in_flight = max_in_flight
        self._max_queued = max_queued
        self._clock = clock
        self._interactive: deque[Place] = deque()
        self._batch: deque[Place] = deque()
        self._queues = {Priority.INTERACTIVE: self._interactive, Priority.BATCH: self._batch}
        self._turn = 0
        self._usual: float | None = None  # seconds that a call keeps its place; None: not known
        self.in_flight = 0

    @property
    def queued(self) -> int:
        """How many calls wait for a place."""
        return sum(map(len, self._queues.values()))

    @property
    def limit(self) -> int:
        """How many places there are."""
        return self._max_in_flight

    def waiting(self) -> Mapping[Priority, int]:
        """Return how many calls of each priority wait for a place."""
        return {priority: len(queue) for priority, queue in self._queues.items()}

    def resize(self, max_in_flight: int, max_queued: int) -> None:
        """Set other bounds. Who is in stays, and who waits keeps its place in the queue."""
        self._max_in_flight = max_in_flight
        self._max_queued = max_queued
        self._hand_over()

    def enter_at_once(self) -> bool:
        """Take a place if one is free; return whether there was."""
        if self.in_flight >= self._max_in_flight:
            return False
        self.in_flight += 1
        return True

    async def enter(self, priority: Priority, wait: Wait, seconds: float | None) -> float:
        """Take a place, and wait for it if none is free; returns when, which `leave` wants to know.

        `seconds` is what is left of the caller's deadline, if it has one. Raises ServiceUnavailable
        when the queue is full or would take longer than that, or when the process drains; and what
        ends `wait`: DeadlineExceeded.
        """
        if self.enter_at_once():
            return self._clock()
        expected = self._expected_wait(priority)
        if seconds is not None and seconds < expected:
            raise _overloaded(expected)
        self._make_room(priority, expected)
        place: Place = asyncio.get_running_loop().create_future()
        queue = self._queues[priority]
        queue.append(place)
        try:
            with wait:
                await place
        except BaseException:
            if place in queue:
                queue.remove(place)
            elif place.done() and not place.cancelled() and place.exception() is None:
                self.in_flight -= 1  # it was given just when its call ended
                self._hand_over()
            raise
        return self._clock()

    def leave(self, entered: float) -> None:
        """Give a place back that is held since `entered`."""
        held = self._clock() - entered
        usual = held if self._usual is None else self._usual
        self._usual = usual + _SMOOTHING * (held - usual)
        self.in_flight -= 1
        if self._interactive or self._batch:
            self._hand_over()

    def dismiss(self, error: Callable[[], Error]) -> None:
        """Send all who wait away, each with an error of its own: the process is about to end."""
        for queue in self._queues.values():
            while queue:
                _refuse(queue.popleft(), error())

    def _hand_over(self) -> None:
        while self.in_flight < self._max_in_flight and (queue := self._next_queue()):
            place = queue.popleft()
            if not place.done():  # else its call is ending, and takes no place
                self.in_flight += 1
                place.set_result(None)

    def _next_queue(self) -> deque[Place]:
        """Return the queue whose turn it is; an empty one when nobody waits."""
        interactive, batch = self._interactive, self._batch
        if not (interactive and batch):
            return interactive or batch
        self._turn = (self._turn + 1) % _TURNS
        return interactive if self._turn else batch

    def _expected_wait(self, priority: Priority) -> float:
        """Return the seconds until a call that comes now would get a place."""
        interactive, batch = len(self._interactive), len(self._batch)
        if priority is Priority.INTERACTIVE:
            first = interactive + 1
            places = first + min(batch, first // (_TURNS - 1))
        else:
            first = batch + 1
            places = first + min(interactive, first * (_TURNS - 1))
        return places * (self._usual or 0.0) / self._max_in_flight

    def _make_room(self, priority: Priority, expected: float) -> None:
        """See to it that one more can wait. Raises ServiceUnavailable if it cannot be this one."""
        if self.queued < self._max_queued:
            return
        if priority is Priority.BATCH or not self._batch:
            raise _overloaded(expected)
        _refuse(self._batch.pop(), _overloaded(self._expected_wait(Priority.BATCH)))


def _refuse(place: Place, error: Error) -> None:
    if not place.done():
        place.set_exception(error)


def _overloaded(expected: float) -> ServiceUnavailable:
    return ServiceUnavailable(
        "The server is at its limit of concurrent requests. Retry the request.",
        retry_after=min(max(expected, _SHORTEST), _LONGEST),
    )
