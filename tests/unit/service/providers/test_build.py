"""What a provider's configuration says of its connections is kept to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from service.config import ProviderConfig
from service.errors import FaultKind, ProviderFault
from service.providers import build
from service.providers.call import Call
from telemetry.metrics import Metrics
from tests.support.certificates import Authority
from tests.unit.service.providers.http_client.servers import Proxy, Server, listening, server_tls
from tests.unit.service.providers.http_client.wires import OK
from tests.unit.service.providers.timed_http import REQUEST, WHOLE

ANSWER = OK + b"Content-Length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE)


@asynccontextmanager
async def built(**settings):
    config = ProviderConfig(dialect="openai", **settings)
    trusted = build.trust("acme", config)
    provider = build.build("acme", config, trusted, None, None, Metrics({}), "1.2.3")
    try:
        yield provider
    finally:
        await provider.close()


async def says_x(provider):
    answer = await provider.complete(REQUEST, Call("id"))
    return answer.choices[0].message.content[0].text == "x"


async def test_a_provider_is_asked_in_our_name_and_for_bytes_as_they_are():
    async with (
        listening(Server(ANSWER)) as server,
        built(
            base_url=f"http://127.0.0.1:{server.port}/v1/",
            api_key="key",
            headers={"user-agent": "own", "X-Own": "own"},
        ) as provider,
    ):
        assert await says_x(provider)
        assert server.heads == [
            [
                "POST /v1/chat/completions HTTP/1.1",
                f"Host: 127.0.0.1:{server.port}",
                "Accept: */*",
                "Accept-Encoding: identity",
                "Content-Type: application/json",
                "user-agent: own",
                "X-Own: own",
                "Authorization: Bearer key",
                "Content-Length: 2",
            ]
        ]


async def test_a_providers_proxy_is_asked_to_ask_it():
    async with (
        listening(Proxy(ANSWER)) as proxy,
        built(
            base_url="http://acme.example/v1", proxy=f"http://u:p@127.0.0.1:{proxy.port}"
        ) as provider,
    ):
        assert await says_x(provider)
        assert proxy.heads[0][0] == "POST http://acme.example/v1/chat/completions HTTP/1.1"


async def test_only_the_certificates_that_are_named_are_trusted(tmp_path):
    ours, other = Authority(), Authority()
    roots = tmp_path / "roots.pem"
    for authority, trusted in ((ours, True), (other, False)):
        roots.write_bytes(ours.pem)
        async with (
            listening(Server(ANSWER), server_tls(authority, tmp_path)) as server,
            built(base_url=f"https://127.0.0.1:{server.port}", ca_file=str(roots)) as provider,
        ):
            if trusted:
                assert await says_x(provider)
                continue
            with pytest.raises(ProviderFault) as fault:
                await says_x(provider)
            assert fault.value.kind is FaultKind.CONNECT
            assert not server.heads


async def test_connecting_has_a_limit_of_its_own():
    async def silent(reader, writer):
        await reader.read()
        writer.transport.abort()

    server = Server()
    server.serve = silent
    async with (
        listening(server),
        built(
            base_url=f"https://127.0.0.1:{server.port}", timeouts={"connect": "50ms"}
        ) as provider,
    ):
        call = Call("id")
        async with asyncio.timeout(10):
            with pytest.raises(ProviderFault) as fault:
                await provider.complete(REQUEST, call)
        assert (fault.value.kind, str(fault.value)) == (FaultKind.CONNECT, "TimeoutError")
        assert not call.sent
