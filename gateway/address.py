"""Where a door listens: HOST:PORT or unix:PATH."""

from __future__ import annotations

from typing import NamedTuple


class TcpAddress(NamedTuple):
    """A host name or IP address, and a port; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixAddress(NamedTuple):
    """The path of a socket in the file system."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Return the address of `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. Raises ValueError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError(f"not an address: {text!r} (a path is missing after unix:)")
        return UnixAddress(path)
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        separator = ""
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"not an address: {text!r} (HOST:PORT or unix:PATH is)")
    return TcpAddress(host, int(port))
