"""What cannot be relayed goes in a gRPC call of its own; its caller cannot tell. Real servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from relay.channel import RelayChannel
from relay.frames import LARGEST_REQUEST
from relay.server import RelayServer
from tests.unit.channel.doors import RELAY, SERVICE, Door, generic_handler, text_of, texts

LARGEST = 4 * 2**20


async def tell_way(request: StringValue, context: Any) -> StringValue:
    """Answers how it was called: servicers see it in no other way than this one."""
    way = "relayed" if type(context).__module__.startswith("channel") else "plain"
    return text_of(f"{way} {len(request.value)}")


async def write_way(request: StringValue, context: Any) -> None:
    for _ in range(2):
        await context.write(await tell_way(request, context))


class Service:
    """A gRPC server, with the relay or, as an old one, without; it can be restarted."""

    def __init__(self, *, relay: bool = True) -> None:
        self.port = 0
        self.relay = relay

    async def start(self) -> None:
        self.outer = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        self.carried = RelayServer(LARGEST)
        for server in (self.outer, self.carried):
            server.add_generic_rpc_handlers((generic_handler(tell_way, write_way),))
        if self.relay:
            self.carried.open_on(self.outer)
        self.port = self.outer.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.outer.start()

    async def stop(self, grace: float | None) -> None:
        await asyncio.gather(self.carried.stop(grace), self.outer.stop(grace))


@contextlib.asynccontextmanager
async def relaying(service: Service) -> AsyncIterator[Door]:
    await service.start()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100)]
    plain = grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", options=options)
    async with RelayChannel(plain, LARGEST) as channel:
        yield Door(RELAY, service.outer, channel)
    await service.stop(None)


async def open_line(door: Door) -> None:
    channel = door.channel
    assert isinstance(channel, RelayChannel)
    async with asyncio.timeout(20):
        while not channel.session.takes(0):
            await asyncio.wait([asyncio.ensure_future(channel.session.welcomed.wait())], timeout=1)


async def test_calls_are_relayed_once_the_stream_is_open_and_plain_before() -> None:
    async with relaying(Service()) as door:
        assert (await door.ask("abc")).value == "plain 3"
        await open_line(door)
        assert (await door.ask("abc")).value == "relayed 3"
        assert await texts(door.listen("abc")) == ["relayed 3"] * 2
        empty: Any = door.channel.unary_unary(f"/{SERVICE}/Ask")  # bytes, without a serializer
        assert StringValue.FromString(await empty(b"")).value == "relayed 0"


async def test_large_requests_arrive_whole() -> None:
    async with relaying(Service()) as door:
        await open_line(door)
        for size in (LARGEST_REQUEST - 10, LARGEST_REQUEST, 3 * LARGEST_REQUEST, LARGEST - 10):
            assert (await door.ask("x" * size)).value == f"relayed {size}"
            assert await texts(door.listen("x" * size)) == [f"relayed {size}"] * 2


async def test_requests_to_a_service_that_takes_no_parts_go_alone_when_they_are_large() -> None:
    async with relaying(Service()) as door:
        await open_line(door)
        assert isinstance(door.channel, RelayChannel)
        door.channel.session._largest_in_parts = 0  # as its welcome would say
        for size, way in ((LARGEST_REQUEST - 10, "relayed"), (LARGEST_REQUEST, "plain")):
            assert (await door.ask("x" * size)).value == f"{way} {size}"
        many = tuple((f"key-{number}", "x" * 100) for number in range(10))
        almost = LARGEST_REQUEST - 500
        assert (await door.ask("x" * almost)).value == f"relayed {almost}"
        assert (await door.ask("x" * almost, metadata=many)).value == f"plain {almost}"


async def test_requests_over_the_limit_are_refused_as_ever() -> None:
    async with relaying(Service()) as door:
        await open_line(door)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await door.ask("x" * (LARGEST + 1))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_with_credentials_of_their_own_are_not_relayed() -> None:
    async with relaying(Service()) as door:
        await open_line(door)
        credentials = grpc.access_token_call_credentials("token")
        with pytest.raises(Exception, match="only valid on secure channels"):  # gRPC's own words
            await door.ask(credentials=credentials)


async def test_an_old_service_gets_calls_as_it_knows_them() -> None:
    async with relaying(Service(relay=False)) as door:
        for _ in range(20):
            assert (await door.ask("abc")).value == "plain 3"
        assert await texts(door.listen("abc")) == ["plain 3"] * 2


@pytest.mark.parametrize("grace", [None, 5])
async def test_a_service_that_comes_back_is_relayed_to_again(grace: float | None) -> None:
    service = Service()
    async with relaying(service) as door:
        await open_line(door)
        await asyncio.wait_for(service.stop(grace), 4)  # a lingering stream would hold it for 5
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await door.ask("nobody there")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await service.start()
        assert (await door.ask("abc", wait_for_ready=True)).value in {"plain 3", "relayed 3"}
        await open_line(door)
        assert (await door.ask("abc")).value == "relayed 3"


async def test_streams_of_requests_are_the_channels_underneath() -> None:
    async with relaying(Service()) as door:
        await open_line(door)
        for kind in (door.channel.stream_unary, door.channel.stream_stream):
            call: Any = kind(f"/{SERVICE}/Missing")()
            assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_handler_sees_the_callers_address() -> None:
    async def tell_peer(request: StringValue, context: Any) -> StringValue:
        return text_of(context.peer())

    service = Service()
    async with relaying(service) as door:
        service.carried._generic[:] = [generic_handler(tell_peer, None)]
        await open_line(door)
        assert (await door.ask()).value.startswith("ipv4:127.0.0.1:")
