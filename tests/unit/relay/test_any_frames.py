"""Whatever frames a caller sends, in whatever order, nothing is left when its stream has ended."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llmbase.relay.v1.relay_pb2 import (
    CallerFrame,
    MetadataEntry,
    Open,
    RelayRequest,
    WholeRequest,
)

from channel.in_process import InProcessServer
from relay.server_session import ServerSession, Violation
from tests.unit.channel.doors import SERVICE, generic_handler, text_of
from tests.unit.relay.pipes import LARGEST, Pipe, ServerEnd, settled
from tests.unit.virtual_time import run

OPENS = st.builds(
    Open,
    method=st.sampled_from([f"/{SERVICE}/Ask", f"/{SERVICE}/Listen", "/no/Such", ""]),
    metadata=st.lists(
        st.builds(
            MetadataEntry,
            key=st.sampled_from(["key", "key-bin", "Upper"]),
            value=st.sampled_from([b"", b"text", b"\xff"]),
        ),
        max_size=2,
    ),
    timeout_us=st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.just(1000)),
    credit=st.one_of(st.integers(0, 100_000), st.just(2**64 - 1)),
)
WHOLE = st.builds(
    WholeRequest,
    method=st.sampled_from([f"/{SERVICE}/Ask", f"/{SERVICE}/Listen", "/no/Such", ""]),
    metadata=st.lists(st.sampled_from(["key", "key-bin", "Upper", "", "\xff"]), max_size=4),
    timeout_us=st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.just(1000)),
    credit=st.one_of(st.integers(0, 100_000), st.just(2**64 - 1)),
    message=st.binary(max_size=20),
)
CALLS = st.integers(0, 4)
FRAMES = st.one_of(
    st.builds(CallerFrame, call=CALLS, open=OPENS),
    st.builds(CallerFrame, call=CALLS, whole_request=WHOLE),
    st.builds(CallerFrame, call=CALLS, message=st.binary(max_size=20)),
    st.builds(CallerFrame, call=CALLS, part=st.binary(max_size=20)),
    st.builds(CallerFrame, call=CALLS, half_close=st.booleans()),
    st.builds(CallerFrame, call=CALLS, cancel=st.booleans()),
    st.builds(CallerFrame, call=CALLS, credit=st.integers(0, 2**64 - 1)),
    st.builds(CallerFrame, call=CALLS),
)


ENDS = {"status", "whole_answer"}


async def echo(request: StringValue, context: Any) -> StringValue:
    await asyncio.sleep(0.001)
    return request


async def write(request: StringValue, context: Any) -> None:
    for _ in range(5):
        await context.write(text_of("x" * 10_000))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=st.lists(st.lists(FRAMES, max_size=6), max_size=6))
def test_it_ends_and_leaves_nothing(batches: list[list[CallerFrame]]) -> None:
    async def main() -> None:
        servicers = InProcessServer()
        servicers.add_generic_rpc_handlers((generic_handler(echo, write),))
        session, pipe = ServerSession(servicers, LARGEST), Pipe()
        running = asyncio.create_task(session.run(ServerEnd(pipe)))
        for frames in batches:
            await pipe.write(RelayRequest(frames=frames))
            await settled()
        pipe.up.end()
        await asyncio.wait([running], timeout=1)
        running.cancel()
        await asyncio.wait([running])
        await settled()
        assert session.calls == 0
        assert servicers.calls_of(session._outbox) == []
        if not running.cancelled() and running.exception() is not None:
            assert isinstance(running.exception(), Violation)
        ended = [it.call for it in pipe.down.frames if it.WhichOneof("kind") in ENDS]
        assert len(ended) == len(set(ended)), "a call ends once"

    run(main())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Handlers that are sent what is no request say so at length."""
    caplog.set_level(logging.CRITICAL)
