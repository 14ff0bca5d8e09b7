"""The ways to a provider: plain, by TLS, over a Unix socket, through proxies of both kinds."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import asynccontextmanager

import pytest
from cryptography import x509

from service.providers.call import Call
from service.providers.http_client import dialing
from service.providers.http_client.client import HttpClient
from service.providers.http_client.dialing import Dialer
from service.providers.http_client.errors import (
    BadAnswer,
    ConnectionLost,
    HttpFailure,
    ProxyRefused,
    RequestRefused,
)
from tests.support.certificates import Authority
from tests.unit.service.providers.http_client.servers import (
    LOOPS,
    Proxy,
    Server,
    listening,
    run_on,
    server_tls,
)
from tests.unit.service.providers.http_client.wires import whole

AUTHORITY = Authority()


@pytest.fixture(params=LOOPS)
def on(request):
    return lambda main: run_on(request.param, main)


@pytest.fixture(scope="module")
def trusting():
    return ssl.create_default_context(cadata=AUTHORITY.pem.decode())


@asynccontextmanager
async def asking(*args, **kwargs):
    client = HttpClient(Dialer(*args, **kwargs))
    try:
        yield lambda url, headers=None: client.post(url, headers or {}, b"{}", Call("r"))
    finally:
        await client.close()


async def twice(ask, url):
    """Ask twice, over one connection."""
    for _ in range(2):
        async with asyncio.timeout(10):
            assert await whole(await ask(url)) == (b"hello", True)


def test_an_address_is_connected_to(on):
    async def main():
        async with listening(Server()) as server, asking(5) as ask:
            await twice(ask, f"http://127.0.0.1:{server.port}/v1?a=%2f")
            assert server.accepted == 1
            assert server.heads[0][:2] == [
                "POST /v1?a=%2f HTTP/1.1",
                f"Host: 127.0.0.1:{server.port}",
            ]

    on(main())


def test_a_name_is_tried_at_each_of_its_addresses(on):
    async def main():  # `localhost` may be ::1 first, where nobody listens
        async with listening(Server()) as server, asking(5) as ask:
            await twice(ask, f"http://localhost:{server.port}/")

    on(main())


def test_a_certificate_is_held_against_the_name_that_was_asked_for(on, trusting, tmp_path):
    tls = server_tls(AUTHORITY, tmp_path, x509.DNSName("localhost"))
    asked = []
    tls.sni_callback = lambda _, name, __: asked.append(name)

    async def main():
        async with listening(Server(), tls) as server, asking(5, tls=trusting) as ask:
            await twice(ask, f"https://localhost:{server.port}/")
            assert (server.accepted, asked) == (1, ["localhost"])
            with pytest.raises(ssl.SSLCertVerificationError):
                await ask(f"https://127.0.0.1:{server.port}/")

    on(main())


def test_whom_nobody_vouches_for_is_not_believed(on, tmp_path):
    tls = server_tls(AUTHORITY, tmp_path)

    async def main():
        async with listening(Server(), tls) as server, asking(5) as ask:
            with pytest.raises(ssl.SSLCertVerificationError):
                await ask(f"https://127.0.0.1:{server.port}/")
            assert not server.heads

    on(main())


def test_a_large_answer_comes_whole_by_tls(on, trusting, tmp_path):
    body = bytes(range(256)) * 2**14
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def main():
        async with (
            listening(Server(said), server_tls(AUTHORITY, tmp_path)) as server,
            asking(5, tls=trusting) as ask,
        ):
            assert await whole(await ask(f"https://127.0.0.1:{server.port}/")) == (body, True)

    on(main())


def test_a_unix_socket_is_connected_to_once_for_each_request(on, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        async with listening(Server(), path=path) as server, asking(5, unix=path) as ask:
            await twice(ask, "http://embedded/v1/x")
            assert server.accepted == 2
            assert "Connection: close" in server.heads[0]
            assert server.heads[0][1] == "Host: embedded"

    on(main())


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://localhost:1/"])
def test_where_nobody_listens_is_a_system_error(on, url):
    async def main():
        async with asking(5) as ask:
            with pytest.raises(OSError):
                await ask(url)

    on(main())


def test_a_name_that_led_to_nobody_is_looked_up_anew():
    async def main():
        loop = asyncio.get_running_loop()
        async with listening(Server()) as server, asking(5) as ask:
            ports = iter([1, server.port])

            async def look_up(host, port, **kwargs):
                at = ("127.0.0.1", next(ports))
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", at)]

            loop.getaddrinfo = look_up
            with pytest.raises(OSError):
                await ask("http://acme.example/")
            await twice(ask, "http://acme.example/")

    run_on("asyncio", main())


class Broken(Server):
    """Hangs up on whoever connects."""

    async def serve(self, reader, writer):
        self.accepted += 1
        writer.transport.abort()


def leading_to(*servers):
    """Let every name have the addresses of these servers, in this order at first."""

    async def look_up(host, port, **kwargs):
        ports = [servers[-1].port, *(it.port for it in servers[:-1])]  # the first goes to the end
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", it)) for it in ports]

    asyncio.get_running_loop().getaddrinfo = look_up


def test_where_an_address_does_no_tls_the_next_one_is_tried(trusting, tmp_path):
    async def main():
        tls = server_tls(AUTHORITY, tmp_path, x509.DNSName("acme.example"))
        async with (
            listening(Broken()) as broken,
            listening(Server(), tls) as server,
            asking(5, tls=trusting) as ask,
        ):
            leading_to(broken, broken, server)
            await twice(ask, "https://acme.example/")
            assert (broken.accepted, server.accepted) == (2, 1)

    run_on("asyncio", main())


def test_where_no_address_does_tls_is_a_system_error(trusting):
    async def main():
        async with listening(Broken()) as broken, asking(5, tls=trusting) as ask:
            leading_to(broken, broken)
            with pytest.raises(OSError):
                await ask("https://acme.example/")
            assert broken.accepted == 2

    run_on("asyncio", main())


def test_who_is_found_to_be_somebody_else_is_not_passed_over(trusting, tmp_path):
    async def main():
        other = server_tls(AUTHORITY, tmp_path, x509.DNSName("other.example"))
        tls = server_tls(AUTHORITY, tmp_path, x509.DNSName("acme.example"))
        async with (
            listening(Server(), other) as somebody,
            listening(Server(), tls) as server,
            asking(5, tls=trusting) as ask,
        ):
            leading_to(somebody, server)
            with pytest.raises(ssl.SSLCertVerificationError):
                await ask("https://acme.example/")
            assert not server.accepted

    run_on("asyncio", main())


def test_a_name_that_is_none_is_a_system_error(on):
    async def main():
        async with asking(5) as ask:
            with pytest.raises(OSError):
                await ask("http://no-such-name.invalid/")

    on(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_is_reset_at_once_leaves_no_socket_that_would_close_anothers(
    on, monkeypatch, scheme
):
    start_connection = dialing.aiohappyeyeballs.start_connection
    reached = []

    async def reach(*args, **kwargs):
        reached.append(await start_connection(*args, **kwargs))
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        return reached[-1]

    async def main():
        async with asking(5) as ask:
            with pytest.raises((OSError, HttpFailure)):
                await ask(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/")

    monkeypatch.setattr(dialing.aiohappyeyeballs, "start_connection", reach)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        on(main())
    assert [it.fileno() for it in reached] == [-1]


async def silent(reader, writer):
    """Accept, and never say a word; end when the other side does."""
    await reader.read()
    writer.transport.abort()


@pytest.mark.parametrize("way", ["tls", "proxy", "proxy by tls"])
def test_connecting_takes_no_longer_than_it_may_whatever_it_waits_for(on, way):
    async def main():
        server = Server()
        server.serve = silent
        async with listening(server):
            at = f"127.0.0.1:{server.port}"
            proxy = {"tls": None, "proxy": f"http://{at}", "proxy by tls": f"https://{at}"}[way]
            async with asking(0.05, proxy=proxy) as ask:
                with pytest.raises(TimeoutError):
                    await ask(f"https://{at}/")

    on(main())


def test_who_leaves_while_a_connection_is_made_closes_it_at_once(on):
    async def main():
        accepted, left = asyncio.Event(), asyncio.Event()

        async def serve(reader, writer):
            accepted.set()
            await reader.read()
            left.set()
            writer.transport.abort()

        server = Server()
        server.serve = serve
        async with listening(server), asking(60) as ask, asyncio.timeout(10):
            task = asyncio.create_task(ask(f"https://127.0.0.1:{server.port}/"))
            await accepted.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await left.wait()

    on(main())


def test_a_proxy_that_is_asked_in_clear_is_told_the_whole_url(on):
    async def main():
        async with (
            listening(Proxy()) as proxy,
            asking(5, proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}/") as ask,
        ):
            assert await whole(await ask("http://acme.example/v1?a=%2f")) == (b"hello", True)
            assert proxy.heads[0][:2] == [
                "POST http://acme.example/v1?a=%2f HTTP/1.1",
                "Host: acme.example",
            ]
            assert "Proxy-Authorization: Basic dXNlcjpwQHNz" in proxy.heads[0]

    on(main())


@pytest.mark.parametrize("by_tls", [False, True])
def test_a_proxy_makes_a_tunnel_for_tls_and_is_told_nothing_else(on, trusting, tmp_path, by_tls):
    async def main():
        outer = server_tls(AUTHORITY, tmp_path) if by_tls else None
        inner = server_tls(AUTHORITY, tmp_path)
        async with listening(Proxy(), outer) as proxy, listening(Server(), inner) as server:
            url = f"{'https' if by_tls else 'http'}://user:p%40ss@127.0.0.1:{proxy.port}"
            async with asking(5, tls=trusting, proxy=url) as ask:
                await twice(ask, f"https://127.0.0.1:{server.port}/v1")
            assert proxy.heads == [
                [
                    f"CONNECT 127.0.0.1:{server.port} HTTP/1.1",
                    f"Host: 127.0.0.1:{server.port}",
                    "Proxy-Authorization: Basic dXNlcjpwQHNz",
                ]
            ]
            assert server.heads[0][0] == "POST /v1 HTTP/1.1"
            assert not any("Proxy" in line for line in server.heads[0])
            async with asyncio.timeout(10):
                await server.left.wait()
                await proxy.left.wait()

    on(main())


REFUSALS = {
    "no": (b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", ProxyRefused),
    "no, and a page": (b"HTTP/1.1 502 No\r\nContent-Length: 99\r\n\r\n<html>", ProxyRefused),
    "a redirect": (b"HTTP/1.1 302 There\r\nLocation: http://a/\r\n\r\n", ProxyRefused),
    "garbage": (b"what is this\r\n\r\n", BadAnswer),
    "a head without an end": (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000, BadAnswer),
}


@pytest.mark.parametrize(("said", "failure"), REFUSALS.values(), ids=REFUSALS)
def test_a_proxy_that_makes_no_tunnel_is_no_connection(on, said, failure):
    async def main():
        async with (
            listening(Proxy(said)) as proxy,
            asking(5, proxy=f"http://127.0.0.1:{proxy.port}") as ask,
        ):
            with pytest.raises(failure):
                await ask("https://acme.example/")
            async with asyncio.timeout(10):
                await proxy.left.wait()

    on(main())


def test_a_proxy_that_hangs_up_is_no_connection(on):
    async def hang_up(reader, writer):
        writer.transport.abort()

    async def main():
        server = Server()
        server.serve = hang_up
        async with (
            listening(server),
            asking(5, proxy=f"http://127.0.0.1:{server.port}") as ask,
        ):
            with pytest.raises((ConnectionLost, ConnectionError)):
                await ask("https://acme.example/")

    on(main())


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "acme", "http://user:x@a:1:sk-secret"])
def test_a_proxy_whose_url_is_none_fails_the_call_without_a_word_of_it(on, proxy):
    async def main():
        async with asking(5, proxy=proxy) as ask:
            with pytest.raises(RequestRefused) as refused:
                await ask("https://acme.example/")
            assert isinstance(refused.value, HttpFailure)
            assert "sk-secret" not in str(refused.value)

    on(main())
