"""The one connection to the shared limiter, in virtual time: every wait for it ends."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from service.accounts.shared_line import Line, NoAnswer
from service.accounts.shared_scripts import ENTER, LEAVE
from tests.unit.virtual_time import run

TIMEOUT = 0.05


class _Refused(Exception):
    pass


class _Server:
    """Answers each command with its arguments, as late as it is told to."""

    def __init__(self):
        self.connections = []
        self.connecting = 0.0  # seconds that it takes
        self.answering = 0.0
        self.refusing = False
        self.sent = []

    def connection(self):
        connection = _Connection(self)
        self.connections.append(connection)
        return connection

    @property
    def open(self):
        return sum(connection.is_connected for connection in self.connections)


class _Connection:
    def __init__(self, server):
        self._server = server
        self._due = []
        self.is_connected = False

    async def connect(self):
        await asyncio.sleep(self._server.connecting)
        self.is_connected = True

    async def disconnect(self, nowait=False):
        self.is_connected = False

    def pack_commands(self, commands):
        return list(commands)

    async def send_packed_command(self, command, check_health=True):
        self._due.extend(command)
        self._server.sent.append([words for words in command if words[0] == "EVALSHA"])

    async def read_response(self, *, timeout=None):
        words = self._due.pop(0)
        if words[0] == "EVALSHA":
            await asyncio.sleep(self._server.answering)
            if self._server.refusing:
                raise _Refused
        return words[-1]


@contextlib.asynccontextmanager
async def line_to(server):
    said = []
    line = Line(
        server.connection,
        _Refused,
        TIMEOUT,
        lambda: said.append("answered"),
        lambda error: said.append(type(error).__name__),
    )
    line.said = said
    running = asyncio.create_task(line.run())
    try:
        yield line
    finally:
        running.cancel()
        await asyncio.wait([running])
        assert server.open == 0
    with pytest.raises(NoAnswer):
        await line.ask(ENTER, (), ())


def ask(line, word, unclaimed=None):
    return asyncio.create_task(line.ask(ENTER, ("k",), (word,), unclaimed))


def test_what_is_asked_while_an_answer_is_awaited_goes_out_together():
    async def main():
        server = _Server()
        server.answering = 0.01
        async with line_to(server) as line:
            first = ask(line, "0")
            await asyncio.sleep(0.005)
            others = [ask(line, str(i)) for i in range(1, 4)]
            assert await asyncio.gather(first, *others) == ["0", "1", "2", "3"]
            assert [len(words) for words in server.sent if words] == [1, 3]

    run(main())


def test_a_slow_answer_counts_as_none_for_all_who_wait():
    async def main():
        server, loop = _Server(), asyncio.get_running_loop()
        async with line_to(server) as line:
            await ask(line, "0")
            server.answering = 60.0
            began, unclaimed = loop.time(), []
            first = ask(line, "1", unclaimed.append)
            await asyncio.sleep(TIMEOUT / 2)
            second = ask(line, "2", unclaimed.append)
            results = await asyncio.gather(first, second, return_exceptions=True)
            assert {type(result) for result in results} == {NoAnswer}
            assert loop.time() - began == pytest.approx(TIMEOUT)
            assert unclaimed == [None]  # only one was sent
            assert line.said == ["answered", "TimeoutError"]
            server.answering = 0.0
            assert await ask(line, "3") == "3"
            assert len(server.connections) == 2

    run(main())


def test_an_answer_that_has_come_while_the_loop_was_busy_counts():
    async def main():
        class Busy(_Connection):
            async def read_response(self, *, timeout=None):
                words = self._due.pop(0)
                if words[0] == "EVALSHA":
                    loop = asyncio.get_running_loop()
                    here = loop.create_future()
                    loop._now += 10 * TIMEOUT  # the time is over, and the answer is there
                    loop.call_soon(here.set_result, None)
                    await here
                return words[-1]

        server = _Server()
        server.connection = lambda: (
            server.connections.append(Busy(server)) or (server.connections[-1])
        )
        async with line_to(server) as line:
            assert await ask(line, "1") == "1"

    run(main())


def test_a_connection_that_takes_longer_than_an_answer_is_there_in_the_end():
    async def main():
        server = _Server()
        server.connecting = 5 * TIMEOUT
        async with line_to(server) as line:
            with pytest.raises(NoAnswer):
                await ask(line, "1")
            await asyncio.sleep(4.5 * TIMEOUT)
            assert await ask(line, "2") == "2"
            assert len(server.connections) == 1

    run(main())


def test_a_connection_that_is_not_there_after_two_seconds_is_made_anew():
    async def main():
        server = _Server()
        server.connecting = 60.0
        async with line_to(server) as line:
            for at, connections in ((0.0, 1), (1.9, 1), (2.1, 2)):
                await asyncio.sleep(at - asyncio.get_running_loop().time())
                with pytest.raises(NoAnswer):
                    await ask(line, "1")
                assert len(server.connections) == connections

    run(main())


def test_what_is_told_waits_two_thousandths_of_a_second_for_more():
    async def main():
        server = _Server()
        async with line_to(server) as line:
            line.tell(LEAVE, ("k",), ("0",))
            await asyncio.sleep(0.001)
            line.tell(LEAVE, ("k",), ("1",))
            await asyncio.sleep(0.0009)
            assert server.sent == []
            await asyncio.sleep(0.0002)
            assert [len(words) for words in server.sent if words] == [2]

    run(main())


def test_what_is_told_arrives_in_order_when_the_server_is_back():
    async def main():
        server = _Server()
        async with line_to(server) as line:
            server.answering = 60.0
            for i in range(3):
                line.tell(LEAVE, ("k",), (str(i),))
                await asyncio.sleep(3 * TIMEOUT)
            server.answering, server.sent = 0.0, []
            assert await ask(line, "x") == "x"
            await line.told()
            assert [words[-1] for batch in server.sent for words in batch] == ["0", "1", "2", "x"]

    run(main())


def test_much_that_is_to_be_told_keeps_no_call_waiting():
    async def main():
        server = _Server()
        async with line_to(server) as line:
            for i in range(5000):
                line.tell(LEAVE, ("k",), (str(i),))
            assert await ask(line, "x") == "x"
            sent = [words for words in server.sent if words]
            assert "x" in [words[-1] for words in sent[0]]
            await line.told()

    run(main())


def test_an_error_for_an_answer_is_none_and_the_connection_is_made_anew():
    async def main():
        server = _Server()
        async with line_to(server) as line:
            server.refusing = True
            with pytest.raises(NoAnswer):
                await ask(line, "1")
            assert line.said == ["_Refused"]
            line.tell(LEAVE, ("k",), ("2",))
            await line.told()  # it is not told for ever
            server.refusing = False
            assert await ask(line, "3") == "3"

    run(main())


def test_an_answer_for_who_has_gone_is_unclaimed():
    async def main():
        server = _Server()
        server.answering = 0.01
        async with line_to(server) as line:
            unclaimed = []
            gone = ask(line, "1", unclaimed.append)
            await asyncio.sleep(0.005)
            gone.cancel()
            never = ask(line, "2", unclaimed.append)
            await asyncio.sleep(0)
            never.cancel()
            assert await ask(line, "3") == "3"
            assert unclaimed == ["1"]

    run(main())
