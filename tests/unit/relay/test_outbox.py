"""What is ready together leaves together, in order, and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llmbase.relay.v1.relay_pb2 import RelayRequest

from relay.outbox import Frame, Outbox
from tests.unit.relay.pipes import settled

MANY = 256 * 1024


class Written:
    """What was written; a write takes until it is let go."""

    def __init__(self) -> None:
        self.messages: list[list[int]] = []
        self.go_on = asyncio.Event()

    async def write(self, message: Any) -> None:
        self.messages.append([frame.call for frame in message.frames])
        await self.go_on.wait()


async def test_all_that_is_put_in_one_turn_of_the_loop_is_one_message() -> None:
    outbox, written = Outbox(RelayRequest), Written()
    running = asyncio.create_task(outbox.run(written.write))
    await settled()

    loop = asyncio.get_running_loop()
    for call in (1, 2, 3):  # three callbacks of one turn
        loop.call_soon(lambda call=call: outbox.put(call=call, cancel=True))
    await settled()
    assert written.messages == [[1, 2, 3]]

    for call in (4, 5):  # what comes while a message is on its way waits for the next
        outbox.put(call=call, cancel=True)
        await settled()
    written.go_on.set()
    outbox.close()
    await running
    assert written.messages == [[1, 2, 3], [4, 5]]


async def test_a_message_that_is_full_takes_no_more() -> None:
    outbox, written = Outbox(RelayRequest), Written()
    written.go_on.set()
    for call in (1, 2, 3, 4):
        outbox.put(MANY // 2, call=call, cancel=True)
    assert outbox.waiting == 2 * MANY
    outbox.close()
    await outbox.run(written.write)
    assert written.messages == [[1, 2], [3, 4]]
    assert outbox.waiting == 0


async def test_what_is_long_lets_others_through_and_takes_turns() -> None:
    outbox, written = Outbox(RelayRequest), Written()
    made = []

    def long(call: int) -> Iterator[Frame]:
        for _ in range(3):
            made.append(call)
            yield MANY, {"call": call, "cancel": True}

    running = asyncio.create_task(outbox.run(written.write))
    outbox.put_long(1, long(1))
    outbox.put_long(2, long(2))
    await settled()
    outbox.put(call=9, cancel=True)
    assert made == [1]  # no part is made before the one in front of it has left
    assert outbox.waiting == MANY
    written.go_on.set()
    await settled()
    assert written.messages == [[1], [9, 2], [1], [2], [1], [2]]
    outbox.close()
    await running


async def test_what_is_put_after_the_end_is_dropped() -> None:
    outbox, written = Outbox(RelayRequest), Written()
    outbox.close()
    outbox.put(10, call=1, cancel=True)
    await outbox.run(written.write)
    assert (written.messages, outbox.waiting) == ([], 0)


async def test_a_write_that_fails_ends_it() -> None:
    async def fail(message: Any) -> None:
        raise ConnectionError

    outbox = Outbox(RelayRequest)
    outbox.put(call=1, cancel=True)
    with pytest.raises(ConnectionError):
        await outbox.run(fail)
