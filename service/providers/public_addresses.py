"""Which addresses anybody could reach, and sockets that are connected to no others.

An address is looked at where it is connected to: what a URL looked like, what a name resolved to a
moment ago and what a redirect promised are all the same by then.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable

from aiohttp import AddrInfoType, SocketFactoryType

# Python's own `is_global` differs between its releases, so these are IANA's special-purpose
# registries, and what is reached from inside a cloud only.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' NAT, and a cloud's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's own agent, for its virtual machines
        "169.254.0.0/16",  # link-local: the clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, and a cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise, and out of use
        "3fff::/20",  # documentation
    )
)
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that has been given out of IPv6
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # how a network without IPv4 reaches it


def is_public(address: str) -> bool:
    """Whether an IP address, given as text, is one that anybody could reach."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        inner = ip.ipv4_mapped
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is None and ip not in _UNICAST:
            return False
        ip = inner or ip
    return not any(ip in network for network in _NOT_PUBLIC)


class OwnSocket(socket.socket):
    """A socket that closes what it has opened, and nothing else.

    Of a connection that is reset while TLS begins on it, uvloop has closed the descriptor, but not
    the object that aiohttp made. When that is closed its number may be that of somebody else.
    """

    def __init__(self, *arguments: int) -> None:
        super().__init__(*arguments)
        self._inode = os.fstat(self.fileno()).st_ino

    def close(self) -> None:
        """Close it, unless that has been done below it."""
        if self.fileno() >= 0 and not self._is_there():
            self.detach()
        super().close()

    def __del__(self) -> None:
        if self.fileno() >= 0:  # else it is closed, or was never made: there were no more to be had
            self.close()

    def _is_there(self) -> bool:
        try:
            return os.fstat(self.fileno()).st_ino == self._inode
        except OSError:
            return False


def only(may_reach: Callable[[str], bool]) -> SocketFactoryType:
    """Return a maker of sockets that refuses, by OSError, what is not to be connected to."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not may_reach(str(address[0])):
            raise OSError("not an address to connect to")
        return OwnSocket(family, kind, protocol)

    return make
