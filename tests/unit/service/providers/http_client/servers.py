"""Servers and proxies on loopback, for what only a socket can show. They work on either loop."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager

import uvloop

from tests.unit.service.providers.http_client.wires import HELLO

LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


def run_on(loop, main):
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(main)


async def head_of(reader):
    return (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]


class Server:
    """Answers each request with `says`; `heads` are their heads, `names` what SNI asked for."""

    def __init__(self, says=HELLO):
        self.says = says
        self.heads = []
        self.names = []
        self.accepted = 0
        self.left = asyncio.Event()
        self.port = 0

    async def serve(self, reader, writer):
        self.accepted += 1
        try:
            while True:
                self.heads.append(await head_of(reader))
                length = next(it for it in self.heads[-1] if it.startswith("Content-Length: "))
                await reader.readexactly(int(length.split()[1]))
                writer.write(self.says)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.transport.abort()


class Proxy(Server):
    """Makes tunnels, and says of itself what is asked in clear; `says` instead, if that is set."""

    def __init__(self, says=None):
        super().__init__(says or HELLO)
        self.refuses = says

    async def serve(self, reader, writer):
        self.accepted += 1
        far = None
        try:
            head = await head_of(reader)
            self.heads.append(head)
            if self.refuses or not head[0].startswith("CONNECT "):
                writer.write(self.says)
                await reader.read()
                return
            host, port = head[0].split()[1].rsplit(":", 1)
            back, far = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Made\r\nVia: us\r\n\r\n")
            await asyncio.wait(
                [
                    asyncio.create_task(pump(reader, far)),
                    asyncio.create_task(pump(back, writer)),
                ]
            )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.left.set()
            writer.transport.abort()
            if far is not None:
                far.transport.abort()


async def pump(reader, writer):
    try:
        while data := await reader.read(2**16):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


def server_tls(authority, tmp_path, *names):
    key, certificate = authority.sign(*names)
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.pem"
    file.write_bytes(key + certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


@asynccontextmanager
async def listening(server, tls=None, path=None):
    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        await server.serve(reader, writer)

    if path is not None:
        made = await asyncio.start_unix_server(serve, path)
    else:
        made = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        server.port = made.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        made.close()
        if serving:  # nobody is connected any more
            _, left = await asyncio.wait(serving, timeout=10)
            assert not left
        await asyncio.sleep(0.001)  # for what closes its socket in the next turn
