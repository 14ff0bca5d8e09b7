"""What tests of images share: a TLS server and names that do as told, requests and refusals."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import InvalidRequest
from service.providers.images import ImageFetcher

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"  # the tests take the second for a public address

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def certify(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a throw-away certificate; return the server's context and one that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "images.test")])
    now = datetime.datetime.now(datetime.UTC)
    known_as = [x509.DNSName("images.test"), x509.DNSName("inside.test")]
    known_as += [x509.IPAddress(ipaddress.ip_address(address)) for address in (INSIDE, OUTSIDE)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(known_as), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "images.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=pem)


def asks(*urls: str) -> pb.ChatCompletionRequest:
    """Return a request whose first message holds these images and nothing else."""
    parts = [pb.ContentPart(image_url=pb.ImageUrl(url=url)) for url in urls]
    return pb.ChatCompletionRequest(messages=[pb.Message(role=pb.ROLE_USER, content=parts)])


def images(request: pb.ChatCompletionRequest) -> list[str]:
    """Return the URLs of the first message's images."""
    return [part.image_url.url for part in request.messages[0].content]


def data_url(content: bytes = PNG, kind: str = "image/png") -> str:
    """Return what an image's URL should become."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def refusal(fetcher: ImageFetcher, *urls: str) -> tuple[str, str]:
    """Return the path and the description that a request with these images is refused with."""
    with pytest.raises(InvalidRequest) as refused:
        await fetcher.inline(asks(*urls))
    violation = refused.value.violations[0]
    return violation.field, violation.description


def reply(body: bytes = PNG, *headers: str, status: int = 200, length: int | None = None) -> bytes:
    """Return an answer; `length` is what it says of itself, if not the truth."""
    said = len(body) if length is None else length
    lines = (f"HTTP/1.1 {status} Scripted", f"Content-Length: {said}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def moved(location: str, status: int = 302) -> bytes:
    """Return a redirect."""
    return reply(b"", f"Location: {location}", status=status)


class ImageHost:
    """Answers by path, on one address. `heads` are the requests' heads as they came."""

    def __init__(self, tls: ssl.SSLContext, address: str = OUTSIDE) -> None:
        self._tls = tls
        self._address = address
        self._serving: set[asyncio.Task[None]] = set()
        self.answers: dict[str, Answer] = {"/a.png": reply()}
        self.connections = 0
        self.heads: list[str] = []
        self.port = 0

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]

    def url(self, path: str = "/a.png", host: str = "images.test") -> str:
        return f"https://{host}:{self.port}{path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._address, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                answer = self.answers[head.split(" ")[1]]
                if callable(answer):
                    await answer(writer)
                    break
                writer.write(answer)
                await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError):
            pass  # the client has left
        finally:
            writer.transport.abort()


class Names(AbstractResolver):
    """Resolves names as told: the answers to a name in turn, of which the last one stays."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self._answers = {name.replace("_", "."): list(turns) for name, turns in answers.items()}
        self.asked: list[str] = []
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        turns = self._answers.get(host)
        if turns is None:
            raise OSError("no such name")
        addresses = turns.pop(0) if len(turns) > 1 else turns[0]
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in addresses
        ]

    async def close(self) -> None:
        self.closed = True
