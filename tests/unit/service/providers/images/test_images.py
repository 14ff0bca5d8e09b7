"""Images for providers that take bytes only: what becomes of a request, and what is refused."""

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ImagesConfig
from service.errors import InvalidRequest
from service.providers.images import ImageFetcher
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

PATH = "messages[0].content[0].image_url.url"


async def test_an_image_takes_the_place_of_its_url_and_the_request_stays_as_it_was(host, fetcher):
    request = asks(host.url())
    request.messages[0].content[0].image_url.detail = "low"
    before = request.SerializeToString()
    images_ = fetcher()
    inlined = await images_.inline(request)
    assert images(inlined) == [data_url()]
    assert inlined.messages[0].content[0].image_url.detail == "low"
    assert request.SerializeToString() == before


async def test_a_request_without_an_https_image_is_returned_itself(fetcher):
    images_ = fetcher(fetch=False)
    request = asks("data:image/png;base64,AAAA")
    request.messages[0].content.add().text = "https://images.test/a.png"
    assert await images_.inline(request) is request


async def test_every_image_of_every_message_is_fetched_and_one_that_repeats_only_once(
    host, fetcher
):
    gif = b"GIF89a" + b"\0" * 10
    host.answers["/b"] = reply(gif)
    request = asks(host.url(), host.url("/b"), "data:image/gif;base64,R0lG", host.url())
    request.messages.add(role=pb.ROLE_USER).content.add().image_url.url = host.url("/b")
    images_ = fetcher()
    inlined = await images_.inline(request)
    there = data_url(gif, "image/gif")
    assert images(inlined) == [data_url(), there, "data:image/gif;base64,R0lG", data_url()]
    assert inlined.messages[1].content[0].image_url.url == there
    assert sorted(host.paths) == ["/a.png", "/b"]


async def test_an_image_that_repeats_is_refused_where_it_stands_first(host, fetcher):
    host.answers["/x"] = reply(status=404)
    path, _ = await refusal(fetcher(), "data:,", host.url("/x"), host.url("/x"))
    assert path == "messages[0].content[1].image_url.url"


async def test_the_scheme_may_be_written_in_capitals(host, fetcher):
    images_ = fetcher()
    inlined = await images_.inline(asks(host.url().replace("https", "HTTPS")))
    assert images(inlined) == [data_url()]


async def test_nothing_of_ours_goes_along(host, fetcher, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine images.test login me password s3cret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    host.answers["/cookie"] = reply(b"", "Location: /a.png", "Set-Cookie: a=b", status=302)
    images_ = fetcher()
    await images_.inline(asks(host.url("/cookie#part")))
    for head in host.heads:
        names = {line.split(":")[0].lower() for line in head.split("\r\n")[1:] if line}
        assert names == {"host", "accept", "accept-encoding", "user-agent"}
    assert host.paths == ["/cookie", "/a.png"]


async def test_the_environments_proxy_is_not_asked_to_reach_what_we_may_not(
    host, fetcher, monkeypatch
):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    images_ = fetcher()
    assert images(await images_.inline(asks(host.url()))) == [data_url()]


async def test_where_images_are_not_fetched_the_first_of_them_is_named(fetcher):
    request = asks("data:image/png;base64,AAAA", "https://a.test/1", "https://a.test/2")
    images_ = fetcher(fetch=False)
    with pytest.raises(InvalidRequest) as refused:
        await images_.inline(request)
    assert refused.value.violations[0].field == "messages[0].content[1].image_url.url"
    assert "must be a data: URL" in refused.value.violations[0].description


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"rest", "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF87arest", "image/gif"),
        (b"GIF89arest", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
async def test_the_type_is_told_by_the_first_bytes_and_not_by_the_server(
    host, fetcher, content, kind
):
    host.answers["/x"] = reply(content, "Content-Type: text/html")
    images_ = fetcher()
    assert images(await images_.inline(asks(host.url("/x")))) == [data_url(content, kind)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG",
        b"\xff\xd8",
        b"GIF88a",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"BM\x00\x00",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html><body>not found</body></html>",
        b'{"AccessKeyId": "AKIA"}',
        b"%PDF-1.7",
        b" \x89PNG\r\n\x1a\n",
    ],
)
async def test_what_is_no_image_is_refused_whatever_the_server_calls_it(host, fetcher, content):
    host.answers["/x"] = reply(content, "Content-Type: image/png")
    path, says = await refusal(fetcher(), host.url("/x"))
    assert (path, says) == (PATH, "must be a PNG, JPEG, GIF or WebP image")


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 401, 403, 404, 410, 429, 500, 503])
async def test_a_status_that_brings_no_image_is_named(host, fetcher, status):
    host.answers["/x"] = reply(b"" if status in (204, 304) else PNG, status=status)
    path, says = await refusal(fetcher(), host.url("/x"))
    assert (path, says) == (PATH, f"could not be fetched: its server says {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(host, fetcher, status):
    host.answers["/old"] = moved("a.png", status)
    images_ = fetcher()
    assert images(await images_.inline(asks(host.url("/old")))) == [data_url()]


async def test_three_redirects_are_followed_and_not_four(host, fetcher):
    for n in range(1, 5):
        host.answers[f"/{n}"] = moved(f"/{n - 1}" if n > 1 else "/a.png")
    images_ = fetcher()
    assert images(await images_.inline(asks(host.url("/3")))) == [data_url()]
    host.heads.clear()
    path, says = await refusal(images_, host.url("/4"))
    assert (path, says) == (PATH, "redirects more than 3 times")
    assert host.paths == ["/4", "/3", "/2", "/1"]


async def test_a_redirect_to_itself_ends(host, fetcher):
    host.answers["/x"] = moved("/x")
    assert (await refusal(fetcher(), host.url("/x")))[1] == "redirects more than 3 times"
    assert len(host.heads) == 4


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("http://images.test/a.png", "must lead to an https: URL"),
        ("//me:pass@images.test/a.png", "must lead to an https: URL without credentials"),
        ("ftp://images.test/a.png", "must lead to an https: URL"),
        ("file:///etc/passwd", "must lead to an https: URL"),
        ("gopher://127.0.0.1:70/_x", "must lead to an https: URL"),
        ("unix:///run/secret.sock", "must lead to an https: URL"),
        ("data:image/png;base64,AAAA", "must lead to an https: URL"),
        ("https://", "redirects more than 3 times"),
        ("https://127.0.0.1/a.png", "could not be fetched"),
        ("https://169.254.169.254/latest/meta-data/", "could not be fetched"),
        ("https://[::1]/a.png", "could not be fetched"),
        ("https://inside.test/a.png", "could not be fetched"),
        ("https://[::1", "could not be fetched"),
        ("https://images.test:99999/", "could not be fetched"),
        ("https://nowhere.test/", "could not be fetched"),
        ("https://xn--/", "could not be fetched"),
        ("\u00ff\u00fe", "could not be fetched: its server says 404"),
        ("", "redirects more than 3 times"),
    ],
)
async def test_where_a_redirect_leads_is_looked_at_again(host, fetcher, location, says):
    host.answers["/x"] = moved(location)
    host.answers["/%C3%BF%C3%BE"] = reply(status=404)
    path, description = await refusal(fetcher(), host.url("/x"))
    assert path == PATH
    assert description.startswith(says)


async def test_a_redirect_to_an_address_inside_never_connects(host, fetcher, contexts):
    async with ImageHost(contexts[0], INSIDE) as inside:
        for target in (inside.url(host=INSIDE), inside.url(host="inside.test")):
            host.answers["/x"] = moved(target)
            assert (await refusal(fetcher(), host.url("/x")))[1] == "could not be fetched"
        assert inside.connections == 0
        host.answers["/x"] = moved(inside.url(host=INSIDE))
        allowed = fetcher(private_networks=True)
        assert images(await allowed.inline(asks(host.url("/x")))) == [data_url()]


async def test_a_redirect_without_a_place_is_an_answer_without_an_image(host, fetcher):
    host.answers["/x"] = reply(b"", status=302)
    says = (await refusal(fetcher(), host.url("/x")))[1]
    assert says == "could not be fetched: its server says 302"


async def test_private_networks_are_reached_only_where_the_configuration_says_so(contexts, fetcher):
    async with ImageHost(contexts[0], INSIDE) as inside:
        for name in (INSIDE, "inside.test"):
            assert await refusal(fetcher(), inside.url(host=name)) == (PATH, "could not be fetched")
        assert inside.connections == 0
        allowed = fetcher(private_networks=True)
        got = await allowed.inline(asks(inside.url(host=INSIDE), inside.url(host="inside.test")))
    assert images(got) == [data_url()] * 2


async def test_a_certificate_that_nobody_vouches_for_is_refused(host):
    images_ = ImageFetcher(
        ImagesConfig(), may_reach=lambda _: True, resolver=Names(images_test=[[OUTSIDE]])
    )
    assert await refusal(images_, host.url()) == (PATH, "could not be fetched")
    await images_.close()
    assert not host.heads


async def test_a_certificate_for_another_name_is_refused(host, fetcher):
    images_ = fetcher(Names(other_example=[[OUTSIDE]]))
    assert (await refusal(images_, host.url(host="other.example")))[1] == "could not be fetched"
    assert not host.heads


async def test_the_fetcher_closes_its_resolver(fetcher):
    names = Names()
    await fetcher(names).close()
    assert names.closed
