"""A provider that writes down what it bills: it has sent an answer to its end, usage included."""

from __future__ import annotations

import random
import threading

from tests.support.openai_wire import says, stream, unary
from tests.support.scripts import Exchange, Request, Script, pause

_SLOWEST = 0.08  # seconds between two pieces: kills are to meet calls in every phase


class Provider:
    """What each call is billed, by the text of its last message: its request id."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self.billed: dict[str, dict[str, int]] = {}

    def __call__(self, request: Request) -> Script:
        call = request.json["messages"][-1]["content"]
        chance = random.Random(f"{self._seed}:{call}")
        usage = {
            "prompt_tokens": chance.randrange(1, 40),
            "completion_tokens": chance.randrange(1, 50),
        }
        usage["total_tokens"] = sum(usage.values())
        words = [f"{call} {i} " for i in range(chance.randrange(1, 6))]
        answer = says(*words, usage=usage)

        async def bill(_: Exchange) -> None:
            with self._lock:
                assert call not in self.billed, "a call was asked for twice"
                self.billed[call] = usage

        late = pause(chance.uniform(0, _SLOWEST))
        if not request.streamed:
            whole = unary(answer.body())
            return Script(whole.pieces, 200, whole.headers, before=[late, bill])
        *events, counted, done = answer.events()
        pieces = [piece for event in events for piece in (event, late)]
        return stream(*pieces, bill, counted, done)
