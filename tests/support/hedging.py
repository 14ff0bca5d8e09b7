"""Before a hedge: the usual time of its first target has to be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tests.support.openai_wire import says
from tests.support.scripted_upstream import ScriptedUpstream

_KNOWN = 21  # answers after which a target's usual time is known
UNHEDGED = "test/unhedged"  # the first target of a model that is hedged, alone


class _Door(Protocol):
    async def ask(self, body: Any, /) -> Any: ...


async def make_known(door: _Door, upstream: ScriptedUpstream, body: Mapping[str, Any]) -> None:
    """Let the usual time be known of the target that `UNHEDGED` has, by answers to such a body.

    Nothing is hedged meanwhile: on a busy machine a hedge would arrive when it is not expected.
    """
    for _ in range(_KNOWN):
        upstream.on("first", says("Hello"))
        assert (await door.ask({**body, "model": UNHEDGED})).complete
