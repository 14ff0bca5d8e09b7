"""What the provider behind the proxies does: mostly right, and everything it says can be traced.

An answer is made of words that name the call and the provider's model: whoever reads one can say
whose it is, and whether all of it is there.
"""

from __future__ import annotations

import random
import threading
from collections import Counter

from tests.support.openai_wire import error_body, event, refuses, says, stream, unary
from tests.support.scripts import Piece, Request, Script, cut, pause, reset, stall

BEHAVIOURS = {
    "answers": 700,
    "answers slowly": 100,
    "refuses": 50,
    "is too busy": 30,
    "is silent": 20,
    "falls silent": 20,
    "is cut": 30,
    "resets": 20,
    "reports an error": 20,
    "sends HTML": 10,
}


def words(call: str, model: str) -> list[str]:
    """All that the model says to the call."""
    number = random.Random(f"{call}:{model}").randrange(1, 12)
    return [f"{call}:{model}:{i}/{number} " for i in range(number)]


class Provider:
    """Chooses what a request gets, by the seed, the call, the model and how often it came."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Script:
        call, model = request.json["messages"][-1]["content"], request.model
        with self._lock:
            self._asked[call, model] += 1
            number = self._asked[call, model]
        chance = random.Random(f"{self._seed}:{call}:{model}:{number}")
        behaviour = chance.choices([*BEHAVIOURS], weights=[*BEHAVIOURS.values()])[0]
        answer = says(*words(call, model))
        if behaviour == "refuses":
            return refuses(chance.choice((401, 404, 500, 502, 503)))
        if behaviour == "is too busy":
            return refuses(429, Retry_After="1")
        if behaviour == "is silent":
            return Script(before=[stall])
        if behaviour == "sends HTML":
            return unary(b"<html>Bad gateway</html>", 502, {"Content-Type": "text/html"})
        late = [pause(chance.uniform(0, 0.3))] if behaviour == "answers slowly" else []
        if not request.streamed:
            body = answer.body()
            half = body[: len(body) // 2]
            ends: dict[str, list[Piece]] = {
                "falls silent": [half, stall],
                "is cut": [half, cut],
                "resets": [half, reset],
            }
            return Script(ends.get(behaviour, [body]), before=late)
        pieces: list[Piece] = list(answer.events())
        at = chance.randrange(1, len(pieces) - 1)
        if behaviour == "answers slowly":
            pieces[at:at] = [pause(chance.uniform(0, 0.4))]
        elif behaviour in ("falls silent", "is cut", "resets"):
            pieces[at:] = [{"falls silent": stall, "is cut": cut, "resets": reset}[behaviour]]
        elif behaviour == "reports an error":
            pieces[at:] = [event(error_body("boom"))]
        return stream(*late, *pieces)
