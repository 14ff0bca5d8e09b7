"""A request's head, from URL and headers to bytes. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from service.providers.http_client.errors import RequestRefused

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
# Line ends are counted instead: a head has as many as it has lines, or somebody wrote one more.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f]")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a URL leads to. `authorization` is what its user info means, if it has any."""

    tls: bool
    host: str  # in the form that is looked up; of IPv6 without brackets
    port: int
    authorization: str | None = None

    @property
    def address(self) -> str:
        """Host and port, as CONNECT has them."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def authority(self) -> str:
        """Host and port, as the field Host has them: a usual port is left out.

        So is the dot that ends a name for the resolver: servers know their names without it.
        """
        usual = self.port == _PORTS["https" if self.tls else "http"]
        host = _bracketed(self.host.rstrip("."))
        return host if usual else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The origin as the beginning of a URL."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def split_url(url: str) -> tuple[str, str]:
    """Return what `origin` takes of a URL, and the target, untouched: what is asked for there."""
    slash = url.find("/", len("http://x"))
    if slash < 0:
        return url, "/"
    target = url[slash:]
    return url[:slash], target if "#" not in target else target.partition("#")[0]


def origin(url: str) -> Origin:
    """Read a URL that has no path. Raises RequestRefused."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("ascii" if url.isascii() else "idna").decode("ascii")
    except ValueError:  # its text may hold what stands between the colons: a key
        host, port, parts = "", None, None
    if parts is None or not host or parts.scheme not in _PORTS or _UNSAFE_IN_URL.search(url):
        raise RequestRefused("not a URL of HTTP")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise RequestRefused("a URL whose path begins without a slash")
    return Origin(
        parts.scheme == "https",
        host,
        _PORTS[parts.scheme] if port is None else port,
        _basic(parts.username or "", parts.password or "") if "@" in parts.netloc else None,
    )


class HeadWriter:
    """Writes the heads of the requests to one origin.

    `always` are headers that a request's own replace; `prefix` comes before its target.
    """

    def __init__(self, host: str, always: Mapping[str, str], prefix: str = "") -> None:
        self._begin = f"POST {prefix}"
        # By name as this client and the configuration write it. There are few different ones.
        self._known: dict[str, tuple[str, str]] = {}
        self._always: dict[str, str] = {}
        for name, value in {"Host": host, **always}.items():
            key, label = self._learn(name)
            self._always[key] = label + value

    def write(self, target: str, headers: Mapping[str, str]) -> tuple[bytes, bool]:
        """Return the head of a POST up to the length, and whether it asks for no other after it.

        Of headers that differ only in case, the last one counts; how long the body is says nobody
        but who writes the length. Raises RequestRefused, above all for what would be a header more.
        """
        known = self._known
        lines = self._always.copy()
        for name, value in headers.items():
            key, label = known.get(name) or self._learn(name)
            lines[key] = label + value
        for name in ("content-length", "transfer-encoding"):
            lines.pop(name, None)
        head = "\r\n".join((f"{self._begin}{target} HTTP/1.1", *lines.values(), "Content-Length: "))
        ends = len(lines) + 1
        if (
            head.count("\r") != ends
            or head.count("\n") != ends
            or _CONTROL.search(head)
            or " " in target
        ):
            raise RequestRefused("a control character in the head of a request")
        try:
            return head.encode(), "close" in lines.get("connection", "").lower()
        except UnicodeEncodeError:
            raise RequestRefused("a lone surrogate in the head of a request") from None

    def _learn(self, name: str) -> tuple[str, str]:
        if not _TOKEN.fullmatch(name):
            raise RequestRefused("the name of a header is none")
        entry = self._known[name] = (name.lower(), f"{name}: ")
        return entry


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _basic(user: str, password: str) -> str:
    """Return the credentials of a URL's user info (RFC 7617)."""
    pair = f"{unquote(user)}:{unquote(password)}".encode(errors="surrogatepass")
    return "Basic " + base64.b64encode(pair).decode()
