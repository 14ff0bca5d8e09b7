"""Azure Entra tokens: for a client secret, or from wherever azure-identity's default finds one."""

import asyncio
import time
from urllib.parse import parse_qs, urlsplit

import azure.identity
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport

from service.errors import FaultKind, ProviderFault
from service.providers.credentials.azure import azure_token

URL = "https://us.openai.azure.com/openai/v1/chat/completions"
TENANT, CLIENT = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


@pytest.fixture
async def azure_(nowhere):
    """A maker of credentials, which are closed in the end."""
    made = []

    def make(*options):
        made.append(azure_token("azure", *options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def entra(cloud, monkeypatch):
    """Entra, played by the scripted cloud: azure-identity speaks to HTTPS hosts only."""
    real = RequestsTransport.send

    def send(self, request, **options):
        parts = urlsplit(request.url)
        assert parts.scheme == "https"
        request.url = cloud.url + parts.path + (f"?{parts.query}" if parts.query else "")
        cloud.limits.append((options.get("connection_timeout"), options.get("read_timeout")))
        cloud.limits.append((self.connection_config.timeout, self.connection_config.read_timeout))
        return real(self, request, **options)

    cloud.limits = []
    monkeypatch.setattr(RequestsTransport, "send", send)
    base = f"https://login.microsoftonline.com/{TENANT}"

    def answer(asked):
        if "openid-configuration" in asked.path:
            return 200, {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
            }
        if "discovery/instance" in asked.path:
            return 200, {"tenant_discovery_endpoint": f"{base}/v2.0/x", "metadata": []}
        return 200, {"access_token": "entra-token", "expires_in": 3600, "token_type": "Bearer"}

    cloud.answer = answer
    return cloud


async def sent(credentials):
    url, headers = await credentials.authorize(URL, {"A": "b"}, b"{}")
    assert (url, headers["A"]) == (URL, "b")
    return headers["Authorization"]


def grants(cloud):
    return [parse_qs(one.body) for one in cloud.asked if one.path.endswith("/oauth2/v2.0/token")]


async def test_a_client_secret_is_exchanged_for_a_token_once(azure_, entra):
    credentials = azure_(TENANT, CLIENT, "s3cret")
    assert entra.asked == []  # not before it is needed
    tokens = await asyncio.gather(*(sent(credentials) for _ in range(20)))
    assert tokens == ["Bearer entra-token"] * 20
    (grant,) = grants(entra)
    assert grant["client_id"] == [CLIENT]
    assert grant["client_secret"] == ["s3cret"]
    assert "https://cognitiveservices.azure.com/.default" in grant["scope"][0].split(" ")
    assert (5, 10) in entra.limits


async def test_a_token_lasts_as_long_as_entra_says(azure_, entra):
    credentials = azure_(TENANT, CLIENT, "s3cret")
    assert abs((await credentials._token.get()).expires - time.time() - 3600) < 5


async def test_a_refused_secret_is_a_fault_without_a_word_of_the_answer(azure_, entra):
    plain = entra.answer

    def answer(asked):
        if asked.path.endswith("/oauth2/v2.0/token"):
            return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: s3cret"}
        return plain(asked)

    entra.answer = answer
    with pytest.raises(ProviderFault) as fault:
        await sent(azure_(TENANT, CLIENT, "s3cret"))
    assert fault.value.kind is FaultKind.CONNECT
    assert fault.value.detail == "no credentials: ClientAuthenticationError"


@pytest.mark.parametrize("tenant", ["no/tenant", "a b", "../x"])
def test_a_tenant_that_cannot_be_is_said_at_the_start(nowhere, tenant):
    with pytest.raises(ValueError, match="tenant"):
        azure_token("azure", tenant, CLIENT, "s3cret")


async def test_without_a_secret_the_default_chain_is_used(azure_, entra, monkeypatch):
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "from-the-environment")
    assert await sent(azure_()) == "Bearer entra-token"
    assert grants(entra)[0]["client_secret"] == ["from-the-environment"]


async def test_a_workload_identity_of_kubernetes(azure_, entra, monkeypatch, nowhere):
    (nowhere / "token").write_text("the-pods-own-token")
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(nowhere / "token"))
    assert await sent(azure_()) == "Bearer entra-token"
    (grant,) = grants(entra)
    assert grant["client_assertion"] == ["the-pods-own-token"]
    assert "client_secret" not in grant


class Chain:
    """Stands in for azure-identity's default chain."""

    made: list  # of all that was made, in turn

    def __init__(self, **options):
        self.options = options
        self.closed = False
        self.scopes = []
        self.failure = None
        self.made.append(self)

    def get_token(self, *scopes):
        self.scopes.append(scopes)
        if self.failure is not None:
            raise self.failure
        return AccessToken("chained", int(time.time()) + 3600)

    def close(self):
        self.closed = True


@pytest.fixture
def chain(monkeypatch):
    Chain.made = []
    monkeypatch.setattr(azure.identity, "DefaultAzureCredential", Chain)
    return Chain.made


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ((), {}),
        ((None, CLIENT), {"managed_identity_client_id": CLIENT}),
        ((TENANT, None), {"workload_identity_tenant_id": TENANT}),
    ],
)
async def test_an_identity_of_the_chain_can_be_chosen(azure_, chain, given, passed_on):
    assert await sent(azure_(*given)) == "Bearer chained"
    assert chain[0].options == {**passed_on, "connection_timeout": 5, "read_timeout": 10}
    assert chain[0].scopes == [("https://cognitiveservices.azure.com/.default",)]


async def test_the_chains_own_parts_take_what_is_passed_on(nowhere):
    # The stand-in above takes anything.
    made = azure.identity.DefaultAzureCredential(
        managed_identity_client_id=CLIENT,
        workload_identity_tenant_id=TENANT,
        connection_timeout=5,
        read_timeout=10,
    )
    made.close()


async def test_a_chain_that_finds_nothing_is_a_fault_without_its_text(azure_, chain):
    credentials = azure_()
    chain[0].failure = ClientAuthenticationError("tried all, and the secret is s3cret")
    with pytest.raises(ProviderFault) as fault:
        await sent(credentials)
    assert fault.value.kind is FaultKind.CONNECT
    assert fault.value.detail == "no credentials: ClientAuthenticationError"


async def test_closing_closes_the_connections_of_the_library(azure_, chain):
    credentials = azure_()
    await sent(credentials)
    await credentials.close()
    assert chain[0].closed
