"""A stream in the books: counted while it is read, cut when its money is used up, settled once."""

from __future__ import annotations

import pytest
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.routing_pb2 import RouteTrace

from service.accounts.metered import MeteredAnswer
from service.errors import UpstreamTruncated


class _Answer:
    def __init__(self, *items):
        self.route = pb.RouteFacts(served_model="m", provider="p")
        self.characters = 0
        self.closed = 0
        self._items = list(items)

    @property
    def usage(self):
        return pb.Usage(prompt_tokens=5, completion_tokens=self.characters, total_tokens=5)

    async def read(self):
        item = self._items.pop(0) if self._items else None
        if isinstance(item, Exception):
            raise item
        if isinstance(item, str):
            self.characters += len(item)
            delta = pb.ChoiceDelta(content=item)
            return pb.ChatCompletionChunk(id="chatcmpl-1", created=7, model="m", choices=[delta])
        return item

    def close(self):
        self.closed += 1


class _Charge:
    def __init__(self, room=None):
        self._room = room
        self.settled = []

    def room(self):
        return self._room

    def settle(self, usage, route, trace, ended=None):
        self.settled.append((usage.completion_tokens, route.provider, ended))


LAST = pb.ChatCompletionChunk(last=True)


def _metered(*items, room=None, choices=1):
    answer, charge = _Answer(*items), _Charge(room)
    return answer, charge, MeteredAnswer(answer, charge, RouteTrace(), choices)


async def _read(metered):
    chunks = []
    while (chunk := await metered.read()) is not None:
        chunks.append(chunk)
    return chunks


async def test_an_answer_passes_as_it_is_and_is_settled_when_it_is_closed():
    _, charge, metered = _metered("Hel", "lo", LAST)
    assert [len(chunk.choices) for chunk in await _read(metered)] == [1, 1, 0]
    assert charge.settled == []
    metered.close()
    metered.close()
    assert charge.settled == [(5, "p", None)]


async def test_an_answer_without_money_left_ends_with_the_chunk_that_used_it_up():
    answer, charge, metered = _metered("Hel", "lo", " more", LAST, room=5, choices=2)
    first = await metered.read()
    assert (first.choices[0].content, answer.closed) == ("Hel", 0)
    second = await metered.read()
    assert (second.choices[0].content, second.last) == ("lo", False)
    assert answer.closed == 1, "the provider goes on though nobody pays"
    last = await metered.read()
    assert last.last
    assert (last.id, last.created, last.model) == ("chatcmpl-1", 7, "m")
    assert [(it.index, it.finish_reason, it.native_finish_reason) for it in last.choices] == [
        (0, pb.FINISH_REASON_LENGTH, "BUDGET"),
        (1, pb.FINISH_REASON_LENGTH, "BUDGET"),
    ]
    assert last.usage.completion_tokens == 5
    assert await metered.read() is None
    metered.close()
    assert charge.settled == [(5, "p", None)]


async def test_the_last_chunk_is_never_cut():
    _, _, metered = _metered("Hel", LAST, room=4)
    assert [chunk.last for chunk in await _read(metered)] == [False, True]


async def test_what_came_before_a_fault_is_settled_with_it():
    fault = UpstreamTruncated("cut")
    _, charge, metered = _metered("Hel", fault)
    await metered.read()
    with pytest.raises(UpstreamTruncated):
        await metered.read()
    metered.close()
    assert charge.settled == [(3, "p", fault)]


async def test_a_caller_that_leaves_pays_for_what_it_got():
    answer, charge, metered = _metered("Hel", "lo", LAST)
    await metered.read()
    metered.close()
    ((used, _, ended),) = charge.settled
    assert (used, answer.closed) == (3, 1)
    assert isinstance(ended, BaseException), "it looks as if it had been answered"
