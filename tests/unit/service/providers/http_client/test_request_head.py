"""What goes out at the head of a request: what was given, and never a line more."""

from __future__ import annotations

import pytest

from service.providers.http_client.errors import RequestRefused
from service.providers.http_client.request_head import HeadWriter, origin, split_url


def written(headers, target="/v1", **kwargs):
    return HeadWriter("acme.example", {"Accept": "*/*"}, **kwargs).write(target, headers)[0]


def test_a_head_is_what_was_given_up_to_how_long_the_body_is():
    assert written({"X-One": "1", "x-two": "Grüße"}, "/v1/a%2Fb%3A?q=%20%c3%A4").decode() == (
        "POST /v1/a%2Fb%3A?q=%20%c3%A4 HTTP/1.1\r\n"
        "Host: acme.example\r\nAccept: */*\r\nX-One: 1\r\nx-two: Grüße\r\n"
        "Content-Length: "
    )


def test_of_headers_that_differ_only_in_case_the_last_counts():
    head = written({"Content-Type": "a", "content-type": "b", "accept": "c", "HOST": "other"})
    assert head.count(b"\r\n") == 4
    assert b"content-type: b\r\n" in head
    assert b"accept: c\r\n" in head
    assert b"HOST: other\r\n" in head


def test_how_long_the_body_is_says_nobody_else():
    head = written({"content-length": "999", "Transfer-Encoding": "chunked"})
    assert b"999" not in head
    assert b"chunked" not in head
    assert head.endswith(b"\r\nContent-Length: ")


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close"])
def test_who_asks_for_the_last_answer_is_heard(value):
    heads = HeadWriter("a", {})
    assert heads.write("/", {"Connection": value})[1]
    assert not heads.write("/", {"Connection": "keep-alive"})[1]
    assert not heads.write("/", {})[1]


SECRET = "sk-secret"
BAD_VALUES = [f"{SECRET}{bad}X: y" for bad in ("\r\n", "\n", "\r", "\0", "\x7f", "\x1b", "\x0b")]


@pytest.mark.parametrize("value", [*BAD_VALUES, f"{SECRET}\ud800"], ids=ascii)
def test_a_value_cannot_begin_another_line(value):
    with pytest.raises(RequestRefused) as refused:
        written({"Authorization": value})
    assert SECRET not in f"{refused.value!r}"
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "é", f"{SECRET}\n"])
def test_a_name_is_a_token(name):
    with pytest.raises(RequestRefused) as refused:
        written({name: "x"})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\nb", "/\0", "/a HTTP/1.1"])
def test_a_target_is_one_word(target):
    with pytest.raises(RequestRefused):
        written({}, target)


def test_a_proxy_that_is_asked_in_clear_is_told_the_whole_url():
    assert written({}, prefix="http://acme.example").startswith(b"POST http://acme.example/v1 HTTP")


@pytest.mark.parametrize(
    ("url", "begin", "target"),
    [
        ("http://a/b/c?d=/e", "http://a", "/b/c?d=/e"),
        ("https://a:1/b%2F#c", "https://a:1", "/b%2F"),
        ("https://a", "https://a", "/"),
        ("http://a/", "http://a", "/"),
    ],
)
def test_a_url_is_cut_where_its_path_begins(url, begin, target):
    assert split_url(url) == (begin, target)


@pytest.mark.parametrize(
    ("url", "tls", "host", "port", "authority"),
    [
        ("http://Acme.example", False, "acme.example", 80, "acme.example"),
        ("https://acme.example", True, "acme.example", 443, "acme.example"),
        ("https://acme.example:80", True, "acme.example", 80, "acme.example:80"),
        ("http://acme.example:080", False, "acme.example", 80, "acme.example"),
        ("http://[::1]:8080", False, "::1", 8080, "[::1]:8080"),
        ("https://[fe80::1]", True, "fe80::1", 443, "[fe80::1]"),
        ("https://acme.example.", True, "acme.example.", 443, "acme.example"),
        ("http://acme.example.:81", False, "acme.example.", 81, "acme.example:81"),
        ("http://bücher.example", False, "xn--bcher-kva.example", 80, "xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_read(url, tls, host, port, authority):
    to = origin(url)
    assert (to.tls, to.host, to.port, to.authority) == (tls, host, port, authority)
    assert to.authorization is None


def test_user_info_is_basic_authorization():
    assert origin("http://user:p%40ss@acme.example").authorization == "Basic dXNlcjpwQHNz"
    assert origin("http://user@acme.example").authorization == "Basic dXNlcjo="


@pytest.mark.parametrize(
    "url",
    ["", "acme", "ftp://a", "http://", "http:///a", "http://:80", f"http://a:{SECRET}",
     "http://a:70000", "http://a?b", "http://a b", "http://a\r\nb", "http://a\t", "http://[::1",
     f"http://user:x@a:1:{SECRET}", "socks5://a", "http://a\0", "http://" + "ü" * 70],
)  # fmt: skip
def test_what_leads_nowhere_is_refused_without_a_word_of_it(url):
    with pytest.raises(RequestRefused) as refused:
        origin(url)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
