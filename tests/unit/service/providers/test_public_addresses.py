"""Which addresses an image may be fetched from: those that anybody could reach."""

import errno
import os
import socket

import pytest

from service.providers.public_addresses import is_public, only

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

NOT_PUBLIC = {
    "this host": ["0.0.0.0", "0.1.2.3", "::"],
    "loopback": ["127.0.0.1", "127.1.2.3", "127.255.255.255", "::1"],
    "private": ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"],
    "link-local and metadata": ["169.254.169.254", "169.254.170.2", "169.254.0.1", "fe80::1"],
    "metadata elsewhere": ["100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"],
    "carriers' NAT": ["100.64.0.1", "100.127.255.255"],
    "protocol assignments": ["192.0.0.8", "192.0.0.170", "2001:1::1", "2001:20::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "benchmarks": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "multicast and reserved": ["224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"],
    "multicast of IPv6": ["ff02::1", "ff0e::1"],
    "unique local": ["fc00::1", "fdff:ffff::1"],
    "site-local, out of use": ["fec0::1"],
    "a zone": ["fe80::1%eth0", "2606:4700:4700::1111%eth0"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0.0.0.0"],
    "compatible, out of use": ["::127.0.0.1", "::10.0.0.1", "::8.8.8.8"],
    "translated": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::a00:1"],
    "NAT64 of a network's own": ["64:ff9b:1::8.8.8.8", "64:ff9b:1::1"],
    "6to4": ["2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1", "192.88.99.1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::1"],
    "discard and segment routing": ["100::1", "5f00::1"],
    "not given out": ["4000::1", "1::1", "e000::1"],
    "not addresses": [
        "",
        "localhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        " 8.8.8.8",
    ],
    "addresses with something about them": [
        "8.8.8.8.",
        "[::1]",
        "8.8.8.8/32",
        "8.8.8.8:443",
        "\uff18.8.8.8",
    ],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_that_anybody_could_reach_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [pytest.param(one, id=f"{kind}-{one}") for kind, all_ in NOT_PUBLIC.items() for one in all_],
)
def test_an_address_that_only_some_can_reach_is_not_public(address):
    assert not is_public(address)


def test_a_socket_is_made_only_for_what_may_be_reached():
    make = only(lambda address: address == "192.0.2.7")
    with make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.7", 443))) as made:
        assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)
    with pytest.raises(OSError, match="not an address"):
        make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.8", 443)))
    with pytest.raises(OSError, match="not an address"):
        make((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 443, 0, 0)))


@pytest.mark.parametrize("how", ["close", "free"])
def test_a_socket_whose_descriptor_was_closed_below_it_closes_nobody_elses(how: str) -> None:
    made: socket.socket | None = only(lambda _: True)(
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))
    )
    assert made is not None
    number = made.fileno()
    os.close(number)
    reader, writer = socket.socketpair()  # one of them has the number now
    with reader, writer:
        assert number in (reader.fileno(), writer.fileno())
        if how == "close":
            made.close()
        made = None
        writer.sendall(b"still there")
        assert reader.recv(20) == b"still there"


def test_a_socket_that_nobody_closes_is_closed_when_it_goes() -> None:
    made: socket.socket | None = only(lambda _: True)(
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))
    )
    assert made is not None
    number = made.fileno()
    made = None
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(number)
