"""Before a hedge: the usual time of its first target has to be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.grpc_door import GrpcDoor
from tests.support.openai_wire import says
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream

_KNOWN = 21  # answers after which a target's usual time is known
UNHEDGED = "test/unhedged"  # the first target of a model that is hedged, alone


async def make_known(
    door: GrpcDoor | RestDoor, upstream: ScriptedUpstream, body: Mapping[str, Any]
) -> None:
    """Let the usual time be known of the target that `UNHEDGED` has, by answers to such a body.

    Nothing is hedged meanwhile: on a busy machine a hedge would arrive when it is not expected.
    """
    for _ in range(_KNOWN):
        upstream.on("first", says("Hello"))
        assert (await door.ask({**body, "model": UNHEDGED})).complete
