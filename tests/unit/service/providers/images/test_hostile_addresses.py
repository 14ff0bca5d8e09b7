"""Images whose URLs or names mean harm: nothing inside is connected to, and nothing is told."""

import asyncio
import socket
import string

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.config import ImagesConfig
from service.errors import InvalidRequest
from service.providers.images import ImageFetcher
from service.providers.public_addresses import is_public
from tests.unit.service.providers.images.image_host import (
    INSIDE,
    OUTSIDE,
    PNG,
    ImageHost,
    Names,
    asks,
    data_url,
    images,
    moved,
    refusal,
    reply,
)

# How people have got past guards that looked at the URL. All of them mean an address inside.
HOSTS = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.0.0.1..",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7F.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "127。0。0。1",
    "\uff11\uff12\uff17.0.0.1",
    "①②⑦.⓪.⓪.①",
    "\uff11\uff16\uff19。\uff12\uff15\uff14。\uff11\uff16\uff19。\uff12\uff15\uff14",
    "127%2e0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ⓛocalhost",
    "%6cocalhost",
    "169.254.169.254",
    "0xA9FEA9FE",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.43518",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "168.63.129.16",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
]
URLS = [
    "https://127.0.0.1#@images.test/",
    "https://127.0.0.1?@images.test/",
    "https://127.0.0.1/@images.test/",
    "https://127.0.0.1\t/",
    "https://127.0.0\n.1/",
    "https://127.0.0.1%00.images.test/",
    "https://images.test@127.0.0.1/",
    "https://images.test:443@127.0.0.1/",
    "https://me:pass@images.test/",
    "https://:pass@images.test/",
    "https://me@images.test/",
    "https://images.test\\@127.0.0.1/",
    "https://127.0.0.1\\@images.test/",
    "https://images.test:99999/",
    "https://images.test:-1/",
    "https://images.test:4٣/",
    "https://[images.test]/",
    "https://[::1",
    "https://::1/",
    "https://",
    "https:///etc/passwd",
    "https:// 127.0.0.1/",
    "https://\x00/",
    "https://.127.0.0.1/",
    "https://../",
    "https://" + "a" * 64 + ".test/",
    "https://" + "a." * 200 + "test/",
    "https://xn--/",
    "https://\ud800.test/".encode("utf-8", "replace").decode(),
    "https://[v1.fe80::a+en1]/",
]


@pytest.fixture
async def connected(monkeypatch):
    """The addresses that a connection was begun to; none of them succeeds."""
    began = []

    async def connect(_, address):
        began.append(address[0])
        raise OSError("not in this test")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", connect)
    return began


async def refused_by_default(url, resolver=None):
    """Ask the fetcher as it is configured by default for an image; it must refuse."""
    fetcher = ImageFetcher(ImagesConfig(), resolver=resolver)
    try:
        return await refusal(fetcher, url)
    finally:
        await fetcher.close()


@pytest.mark.parametrize("port", ["", ":443", ":8443"])
@pytest.mark.parametrize("name", HOSTS)
async def test_no_way_to_write_an_address_inside_leads_there(connected, name, port):
    await refused_by_default(f"https://{name}{port}/latest/meta-data")
    assert connected == []


@pytest.mark.parametrize("url", URLS)
async def test_no_trick_with_the_parts_of_a_url_leads_inside(connected, url):
    await refused_by_default(url)
    assert connected == []


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700:4700::1111", "64:ff9b::5db8:d822"])
async def test_an_address_outside_is_connected_to_by_name_and_as_a_literal(connected, address):
    # The proof that the tests above could fail.
    await refused_by_default(f"https://{f'[{address}]' if ':' in address else address}/a.png")
    await refused_by_default("https://images.test/a.png", Names(images_test=[[address]]))
    assert connected == [address, address]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1", "nonsense"],
)
async def test_a_name_for_an_address_inside_is_not_connected_to(connected, address):
    says = (await refused_by_default("https://images.test/", Names(images_test=[[address]])))[1]
    assert says == "could not be fetched"
    assert connected == []


async def test_of_a_name_with_addresses_of_both_kinds_only_the_public_are_connected_to(connected):
    mixed = ["10.0.0.1", "93.184.216.34", "::1", "127.0.0.1", "93.184.216.35"]
    await refused_by_default("https://images.test/", Names(images_test=[mixed]))
    assert set(connected) == {"93.184.216.34", "93.184.216.35"}


async def test_a_name_that_changes_between_look_ups_gains_nothing(host, fetcher, contexts):
    """DNS rebinding: what counts is the address that is connected to, whenever it was learnt."""
    async with ImageHost(contexts[0], INSIDE) as inside:
        names = Names(images_test=[[OUTSIDE], [INSIDE], [OUTSIDE, INSIDE]])
        rebinding = fetcher(names)
        host.answers["/x"] = reply(PNG, "Connection: close")
        assert images(await rebinding.inline(asks(host.url("/x")))) == [data_url()]
        for _ in range(2):
            await refusal(rebinding, inside.url())
        assert names.asked[:2] == ["images.test", "images.test"]
        assert inside.connections == 0


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(
        st.sampled_from(string.ascii_letters + string.digits + ".:@/?#[]%\\-_ \t\r\n\0。①٣é"),
        max_size=30,
    )
)
def test_no_text_for_a_url_is_more_than_refused(text):
    asked = []

    def may_reach(address):
        asked.append(address)
        return False

    async def main():
        fetcher = ImageFetcher(ImagesConfig(), may_reach=may_reach, resolver=Names())
        with pytest.raises(InvalidRequest):
            await fetcher.inline(asks(f"https://{text}"))
        await fetcher.close()

    asyncio.run(main())


def test_the_guard_holds_on_the_services_own_event_loop(contexts):
    """uvloop connects by other means than asyncio's own loop."""

    async def main():
        guarded = ImageFetcher(
            ImagesConfig(),
            may_reach=lambda address: address == OUTSIDE,
            resolver=Names(images_test=[[OUTSIDE]], inside_test=[[INSIDE]]),
            tls=contexts[1],
        )
        default = ImageFetcher(ImagesConfig())
        async with (
            ImageHost(contexts[0]) as outside,
            ImageHost(contexts[0], INSIDE) as inside,
        ):
            assert images(await guarded.inline(asks(outside.url()))) == [data_url()]
            for name in ("inside.test", INSIDE):
                outside.answers["/x"] = moved(inside.url(host=name))
                await refusal(guarded, outside.url("/x"))
                await refusal(guarded, inside.url(host=name))
            for url in [f"https://{name}:{inside.port}/" for name in HOSTS] + URLS:
                await refusal(default, url)
            assert inside.connections == 0
            await guarded.close()
            await default.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_an_address_with_a_zone_is_no_crash_where_private_networks_are_on(fetcher):
    says = (await refusal(fetcher(private_networks=True), "https://[fe80::1%25nope]/"))[1]
    assert says == "could not be fetched"


async def test_a_refusal_says_nothing_about_what_is_inside(contexts, fetcher):
    """Whether something listens there, and what, must not be told from the answer."""
    with socket.create_server((INSIDE, 0)) as listening:
        there = listening.getsockname()[1]
        said = {
            await refusal(fetcher(), f"https://{name}:{port}/")
            for name in (INSIDE, "inside.test", "nowhere.test")
            for port in (there, 9)
        }
    assert said == {("messages[0].content[0].image_url.url", "could not be fetched")}


def test_the_default_is_the_guard():
    assert ImagesConfig().private_networks is False
    assert not is_public("127.0.0.1")
