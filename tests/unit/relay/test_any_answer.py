"""Whatever is written, however it is read and ended, is what would have come over the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.channel.doors import text_of
from tests.unit.relay.pipes import relayed
from tests.unit.virtual_time import run

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([32_700, 32_768, 40_000, 66_000, 300_000]))
PAUSES = st.lists(st.sampled_from([0.0, 0.0, 0.001, 1.0]), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(st.lists(SIZES, max_size=12), min_size=1, max_size=6),
    writing=PAUSES,
    reading=PAUSES,
    fails=st.booleans(),
)
def test_streams_beside_each_other_arrive_whole_in_order_and_with_their_own_end(
    sizes: list[list[int]], writing: list[float], reading: list[float], fails: bool
) -> None:
    async def write(request: StringValue, context: Any) -> None:
        number = int(request.value)
        for position, size in enumerate(sizes[number]):
            await asyncio.sleep(writing[(number + position) % len(writing)])
            await context.write(text_of(f"{number}.{position} " + "x" * size))
        if fails:
            await context.abort(grpc.StatusCode.ABORTED, str(number))

    async def read(call: Any, number: int) -> tuple[list[str], Any]:
        heard: list[str] = []
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                heard.append(message.value)
                await asyncio.sleep(reading[(number + len(heard)) % len(reading)])
        except grpc.aio.AioRpcError as error:
            return heard, (error.code(), error.details())
        return heard, None

    async def main() -> None:
        async with relayed(listen=write) as both:
            numbers = range(len(sizes))
            answers = await asyncio.gather(*(read(both.listen(str(it)), it) for it in numbers))
        for number, (heard, end) in enumerate(answers):
            expected = [f"{number}.{at} " + "x" * size for at, size in enumerate(sizes[number])]
            assert heard == expected
            assert end == ((grpc.StatusCode.ABORTED, str(number)) if fails else None)

    run(main())
