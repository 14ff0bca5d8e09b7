"""What stands in for a cloud: a server for tokens and metadata, and a machine without accounts."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_", "MSI_", "IDENTITY_", "HTTP_PROXY")


@dataclass(frozen=True)
class Asked:
    """One request. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


Answer = Callable[[Asked], tuple[int, object]]


class Cloud:
    """Answers by `answer`, in threads, as the clouds' libraries block; remembers what it saw."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.answer: Answer = lambda _: (404, {})

    @property
    def paths(self) -> list[str]:
        return [one.path.partition("?")[0] for one in self.asked]


@contextmanager
def cloud_server() -> Iterator[Cloud]:
    """Listen on a local port for as long as the context is open."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            cloud.asked.append(asked)
            status, content = cloud.answer(asked)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Metadata-Flavor", "Google")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_CONNECT = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that has left is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    cloud = Cloud(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def nowhere(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Make this a machine that is in no cloud, and has no account with one."""
    for name in list(os.environ):
        if name.upper().startswith(_PREFIXES) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def in_(seconds: float) -> str:
    """Return the time so many seconds from now, as AWS writes it."""
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


async def until(true: Callable[[], bool]) -> None:
    """Wait for what happens in a thread, or in the background, and announces itself by nothing."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
