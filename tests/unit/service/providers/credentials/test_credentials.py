"""What a request gets: a key in the query, or a token that is fetched."""

import asyncio
import threading

import pytest

from service.errors import FaultKind, ProviderFault
from service.providers.credentials.credentials import (
    BearerToken,
    QueryKey,
    Token,
)
from tests.unit.virtual_time import run

URL = "https://api.test/v1/chat"


@pytest.mark.parametrize(
    ("url", "authorized"),
    [
        (URL, f"{URL}?key=a%2Fb%3D%2B%26c"),
        (f"{URL}?alt=sse", f"{URL}?alt=sse&key=a%2Fb%3D%2B%26c"),
        (f"{URL}/a%3Ab%2Fc", f"{URL}/a%3Ab%2Fc?key=a%2Fb%3D%2B%26c"),
    ],
)
async def test_a_key_in_the_query_is_encoded_and_leaves_the_path_alone(url, authorized):
    assert await QueryKey("key", "a/b=+&c").authorize(url, {"A": "b"}, b"") == (
        authorized,
        {"A": "b"},
    )


def test_a_token_is_sent_until_a_new_one_is_there():
    async def main():
        loop = asyncio.get_running_loop()
        made = 0

        async def fetch():
            nonlocal made
            made += 1
            return Token(f"token-{made}", 1_700_000_000 + loop.time() + 3600)

        credentials = BearerToken("acme", fetch, now=lambda: 1_700_000_000 + loop.time())
        _, headers = await credentials.authorize(URL, {"A": "b"}, b"")
        assert headers == {"A": "b", "Authorization": "Bearer token-1"}
        await asyncio.sleep(3200)
        assert (await credentials.authorize(URL, {}, b""))[1]["Authorization"] == "Bearer token-1"
        await asyncio.sleep(200)
        assert (await credentials.authorize(URL, {}, b""))[1]["Authorization"] == "Bearer token-2"
        await credentials.close()

    run(main())


async def test_a_token_that_cannot_be_had_is_a_fault_without_its_text():
    async def fetch():
        raise ValueError("client_secret=s3cret")

    credentials = BearerToken("acme", fetch)
    with pytest.raises(ProviderFault) as fault:
        await credentials.authorize(URL, {}, b"")
    assert (fault.value.kind, fault.value.told) == (FaultKind.CONNECT, "")
    assert "s3cret" not in str(fault.value)
    await credentials.close()


async def test_closing_releases_what_fetched_the_token_outside_of_the_loops_thread():
    released = []
    credentials = BearerToken(
        "acme",
        lambda: asyncio.sleep(0, Token("t", 4e9)),
        release=lambda: released.append(threading.current_thread()),
    )
    await credentials.authorize(URL, {}, b"")
    await credentials.close()
    assert released
    assert released[0] is not threading.current_thread()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_tokens_value_is_not_in_what_is_printed_of_it():
    assert "s3cret" not in repr(Token("s3cret", 1))
