"""Google tokens: from a service account's file, or from wherever the application's default is."""

import asyncio
import json
import threading
import time
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from service.errors import FaultKind, ProviderFault
from service.providers.credentials import google, renewed
from service.providers.credentials.google import google_token
from tests.unit.service.providers.credentials.clouds import until

URL = "https://aiplatform.googleapis.com/v1/x"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@pytest.fixture(scope="session")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def account(key, cloud, nowhere):
    """A service account's file, whose tokens are given by the scripted cloud."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = nowhere / "account.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "p",
                "private_key_id": "k",
                "private_key": pem.decode(),
                "client_email": "us@p.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"{cloud.url}/token",
            }
        )
    )
    cloud.answer = lambda _: (200, token(f"token-{len(cloud.asked)}"))
    return str(path)


@pytest.fixture
async def google_(nowhere):
    """A maker of credentials, which are closed in the end."""
    made = []

    def make(*options):
        made.append(google_token("vertex", *options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def token(value, life=3600):
    return {"access_token": value, "expires_in": life, "token_type": "Bearer"}


async def sent(credentials):
    url, headers = await credentials.authorize(URL, {"A": "b"}, b"{}")
    assert (url, headers["A"]) == (URL, "b")
    return headers["Authorization"]


async def test_a_service_account_exchanges_what_it_has_signed_for_a_token(
    google_, account, cloud, key
):
    credentials = google_(account)
    assert cloud.asked == []  # not before it is needed
    assert await asyncio.gather(*(sent(credentials) for _ in range(20))) == ["Bearer token-1"] * 20
    assert len(cloud.asked) == 1
    assertion = parse_qs(cloud.asked[0].body)["assertion"][0]
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = jwt.decode(assertion, certs=public)
    assert (claims["iss"], claims["scope"]) == ("us@p.iam.gserviceaccount.com", SCOPE)


async def test_a_token_is_renewed_before_it_ends_while_requests_go_on(
    google_, account, cloud, monkeypatch
):
    monkeypatch.setattr(renewed, "_LOOK", 0.01)
    held, answered = threading.Event(), threading.Event()

    def answer(_):
        if len(cloud.asked) == 1:
            return 200, token("old", life=200)
        held.set()
        assert answered.wait(10)
        return 200, token("new")

    cloud.answer = answer
    credentials = google_(account)
    assert await sent(credentials) == "Bearer old"
    await until(held.is_set)
    async with asyncio.timeout(1):
        assert await sent(credentials) == "Bearer old"
    answered.set()
    await until(credentials._token._fetching.done)
    assert await sent(credentials) == "Bearer new"


@pytest.fixture
def far_east(monkeypatch):
    """A machine whose own time is nine hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-9")
        time.tzset()
        yield
    time.tzset()


async def test_a_token_lasts_as_long_as_its_server_says_wherever_we_are(
    google_, account, cloud, far_east
):
    cloud.answer = lambda _: (200, token("t", life=1234))
    got = await google_(account)._token.get()
    assert abs(got.expires - time.time() - 1234) < 5


async def test_a_token_that_does_not_say_how_long_it_lasts_is_used_for_a_while(
    google_, account, cloud
):
    cloud.answer = lambda _: (200, {"access_token": "t", "token_type": "Bearer"})
    credentials = google_(account)
    assert await sent(credentials) == "Bearer t"
    assert await sent(credentials) == "Bearer t"
    assert len(cloud.asked) == 1


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, {"error": "invalid_grant", "error_description": "s3cret"}),
        (401, {"error": "s3cret"}),
        (200, {"error": "s3cret"}),
        (200, b"<html>s3cret</html>"),
        (200, []),
    ],
)
async def test_a_token_that_is_refused_is_a_fault_without_a_word_of_the_answer(
    google_, account, cloud, status, content
):
    cloud.answer = lambda _: (status, content)
    with pytest.raises(ProviderFault) as fault:
        await sent(google_(account))
    assert fault.value.kind is FaultKind.CONNECT
    assert fault.value.detail.startswith("no credentials: ")
    assert "s3cret" not in fault.value.detail


async def test_a_token_server_that_does_not_answer_is_given_up(
    google_, account, cloud, monkeypatch
):
    monkeypatch.setattr(google, "_ANSWER", 0.1)
    release = threading.Event()

    def hang(_):
        release.wait(10)
        return 500, {}

    cloud.answer = hang
    try:
        async with asyncio.timeout(5):
            with pytest.raises(ProviderFault, match="no credentials: TransportError"):
                await sent(google_(account))
    finally:
        release.set()


async def test_the_default_is_found_through_the_environments_file(google_, account, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", account)
    assert await sent(google_()) == "Bearer token-1"


async def test_the_default_is_found_at_the_metadata_server(google_, cloud, monkeypatch):
    monkeypatch.delenv("NO_GCE_CHECK")
    address = cloud.url.removeprefix("http://")
    monkeypatch.setenv("GCE_METADATA_HOST", address)
    monkeypatch.setenv("GCE_METADATA_IP", address)

    def answer(asked):
        assert asked.headers["metadata-flavor"] == "Google"
        if asked.path.startswith("/computeMetadata/v1/instance/service-accounts/default/token"):
            return 200, token("from-the-metadata")
        if asked.path.startswith("/computeMetadata/v1/instance/service-accounts/default"):
            return 200, {"email": "vm@p.iam.gserviceaccount.com", "scopes": [SCOPE]}
        return 200, b"p"

    cloud.answer = answer
    assert await sent(google_()) == "Bearer from-the-metadata"


async def test_a_workload_identity_is_exchanged_for_a_token(google_, cloud, nowhere, monkeypatch):
    (nowhere / "subject").write_text("the-pods-own-token")
    (nowhere / "pool.json").write_text(
        json.dumps(
            {
                "type": "external_account",
                "audience": "//iam.googleapis.com/projects/1/locations/global/"
                "workloadIdentityPools/pool/providers/kubernetes",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "token_url": f"{cloud.url}/v1/token",
                "credential_source": {"file": str(nowhere / "subject")},
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(nowhere / "pool.json"))
    cloud.answer = lambda _: (
        200,
        {
            **token("federated"),
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        },
    )
    assert await sent(google_()) == "Bearer federated"
    (asked,) = (parse_qs(one.body) for one in cloud.asked)
    assert asked["subject_token"] == ["the-pods-own-token"]
    assert asked["scope"] == [SCOPE]


async def test_no_default_anywhere_is_a_fault_and_is_found_once_it_is_there(
    google_, account, monkeypatch
):
    monkeypatch.setattr(renewed, "_PAUSE", 0)
    credentials = google_()
    with pytest.raises(ProviderFault) as fault:
        await sent(credentials)
    assert fault.value.kind is FaultKind.CONNECT
    assert fault.value.detail == "no credentials: DefaultCredentialsError"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", account)
    assert await sent(credentials) == "Bearer token-1"
