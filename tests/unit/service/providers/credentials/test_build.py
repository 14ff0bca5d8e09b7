"""From the configuration to credentials: what is built, what is refused, what is imported."""

import json
import subprocess
import sys

import pytest
from pydantic import SecretStr

from service.config import CredentialsConfig
from service.mendable import ConfigError
from service.providers.credentials.aws import SigV4
from service.providers.credentials.build import build
from service.providers.credentials.credentials import BearerToken, QueryKey

URL = "https://api.test/v1"


def known(key=None, tokens=None, key_header=("Authorization", "Bearer "), **config):
    return build(
        "acme",
        None if key is None else SecretStr(key),
        CredentialsConfig(**config),
        key_header=key_header,
        tokens=tokens,
    )


def built(*args, **kwargs):
    return known(*args, **kwargs)[1]


@pytest.mark.parametrize(
    ("config", "key_header", "url", "headers"),
    [
        ({}, ("Authorization", "Bearer "), URL, {"Authorization": "Bearer k"}),
        ({}, ("x-api-key", ""), URL, {"x-api-key": "k"}),
        ({"scheme": "bearer"}, ("x-api-key", ""), URL, {"Authorization": "Bearer k"}),
        ({"scheme": "header", "name": "api-key"}, ("x", "y"), URL, {"api-key": "k"}),
        ({"scheme": "query", "name": "key"}, ("x", "y"), f"{URL}?key=k", {}),
    ],
)
async def test_a_key_is_sent_in_the_dialects_way_or_as_the_configuration_says(
    config, key_header, url, headers
):
    own, credentials = known("k", key_header=key_header, **config)
    asked = (URL, own) if credentials is None else await credentials.authorize(URL, own, b"")
    assert asked == (url, headers)


@pytest.mark.parametrize("tokens", [None, "aws", "google", "azure"])
def test_a_key_comes_before_a_clouds_tokens(tokens):
    assert known("k", tokens) == ({"Authorization": "Bearer k"}, None)
    assert isinstance(built("k", tokens, scheme="query", name="key"), QueryKey)


def test_without_a_key_nothing_is_added():
    assert known() == ({}, None)


async def test_each_cloud_has_its_own(nowhere):
    made = [
        built(tokens="aws"),
        built(tokens="aws", access_key_id="A", secret_access_key="s", session_token="t"),
        built(tokens="google"),
        built(tokens="azure"),
        built(tokens="azure", tenant_id="t", client_id="c", client_secret="s"),
        built(tokens="azure", client_id="a-managed-identity"),
    ]
    kinds = [type(one) for one in made]
    for one in made:
        await one.close()
    assert kinds == [SigV4, SigV4, BearerToken, BearerToken, BearerToken, BearerToken]


async def test_the_region_is_the_first_of_aws_where_none_is_given(nowhere):
    for config, region in (({}, "us-east-1"), ({"region": "eu-west-1"}, "eu-west-1")):
        credentials = built(tokens="aws", access_key_id="A", secret_access_key="s", **config)
        _, headers = await credentials.authorize(URL, {}, b"")
        await credentials.close()
        assert f"/{region}/bedrock/aws4_request" in headers["Authorization"]


@pytest.mark.parametrize(
    "key", ["", " k", "k\n", "k\r\nX-Evil: 1", "a\tb", "a\0b", "schlüssel", "\u200bk"]
)
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key):
    with pytest.raises(ConfigError) as error:
        built(key)
    assert str(error.value) == (
        "providers.acme.api_key: must be printable ASCII without space around it"
    )


@pytest.mark.parametrize(
    ("key", "tokens", "config", "says"),
    [
        (None, None, {"scheme": "bearer"}, "scheme: has no meaning without an api_key"),
        (None, "aws", {"scheme": "header", "name": "x"}, "name: has no meaning without an"),
        (None, None, {"region": "us-east-1"}, "region: has no meaning for this dialect"),
        (None, None, {"client_secret": "s"}, "client_secret: has no meaning for this dialect"),
        (None, "aws", {"tenant_id": "t"}, "tenant_id: has no meaning for this dialect"),
        (None, "google", {"profile": "p"}, "profile: has no meaning for this dialect"),
        (None, "azure", {"service_account_file": "f"}, "service_account_file: has no meaning"),
        ("k", "aws", {"profile": "p"}, "profile: has no meaning beside an api_key"),
        ("k", None, {"region": "us-east-1"}, "region: has no meaning beside an api_key"),
        (None, "aws", {"access_key_id": "A"}, "access_key_id: needs secret_access_key"),
        (None, "aws", {"secret_access_key": "s"}, "secret_access_key: needs access_key_id"),
        (None, "aws", {"session_token": "t"}, "session_token: needs access_key_id"),
        (
            None,
            "aws",
            {"access_key_id": "A", "secret_access_key": "s", "profile": "p"},
            "credentials: profile and access_key_id exclude each other",
        ),
        (None, "azure", {"client_secret": "s"}, "client_secret: needs client_id"),
        (None, "azure", {"client_secret": "s", "client_id": "c"}, "client_secret: needs tenant_id"),
    ],
)
def test_what_would_silently_do_nothing_is_refused(key, tokens, config, says):
    with pytest.raises(ConfigError) as error:
        built(key, tokens, **config)
    assert str(error.value).startswith("providers.acme.credentials")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_the_region_is_not_refused_beside_a_key_of_bedrock():
    assert built("k", "aws", region="eu-west-1") is None


def test_a_missing_extra_of_aws_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(ConfigError) as error:
        built(tokens="aws")
    assert str(error.value) == (
        "providers.acme: its credentials need pip install 'llmbase[bedrock]'"
    )


@pytest.mark.parametrize("module", ["google.auth", "google.auth.transport.requests"])
def test_a_missing_extra_of_google_is_named(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as error:
        built(tokens="google")
    assert str(error.value) == "providers.acme: its credentials need pip install 'llmbase[vertex]'"


def test_a_missing_extra_of_azure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ConfigError) as error:
        built(tokens="azure")
    assert str(error.value) == "providers.acme: its credentials need pip install 'llmbase[azure]'"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "s3cret",
        "{}",
        "[]",
        "null",
        '"s3cret"',
        '{"type": "service_account"}',
        '{"client_email": "a", "token_uri": "b", "private_key": "s3cret"}',
        '{"client_email": 1, "token_uri": 2, "private_key": 3}',
    ],
)
def test_a_service_accounts_file_that_is_none_is_one_line_without_its_content(tmp_path, content):
    path = tmp_path / "account.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        built(tokens="google", service_account_file=str(path))
    assert str(error.value).startswith("providers.acme.credentials: cannot be used: ")
    assert "\n" not in str(error.value)
    assert "s3cret" not in str(error.value)
    assert error.value.__cause__ is None


def test_a_service_accounts_file_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="cannot be used: FileNotFoundError"):
        built(tokens="google", service_account_file=str(tmp_path / "none.json"))


def test_a_profile_that_is_not_there_is_one_line(nowhere):
    with pytest.raises(ConfigError, match=r"^providers.acme.credentials: .*: ProfileNotFound$"):
        built(tokens="aws", profile="nobody")


def test_a_tenant_that_cannot_be_is_one_line(nowhere):
    with pytest.raises(ConfigError, match=r"^providers.acme.credentials: .*: ValueError$"):
        built(tokens="azure", tenant_id="a/b", client_id="c", client_secret="s3cret")


CLOUDS = ("botocore", "google.auth", "google.oauth2", "azure", "msal", "requests", "urllib3")


def imported(code):
    """Run code in a fresh interpreter; return which of the clouds' libraries it has imported."""
    program = (
        f"{code}\nimport json, sys\n"
        f"print(json.dumps([name for name in {CLOUDS!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


def test_the_service_imports_no_clouds_library():
    assert imported("import service.server") == []


def test_a_key_imports_no_clouds_library():
    assert (
        imported(
            "from pydantic import SecretStr\n"
            "from service.config import CredentialsConfig\n"
            "from service.providers.credentials.build import build\n"
            "build('a', SecretStr('k'), CredentialsConfig(), key_header=('A', ''), tokens='aws')\n"
            "build('a', None, CredentialsConfig(), key_header=('A', ''), tokens=None)\n"
        )
        == []
    )


@pytest.mark.parametrize(
    ("tokens", "expected"), [("aws", "botocore"), ("google", "google.auth"), ("azure", "azure")]
)
def test_a_cloud_imports_its_own_library_and_none_of_the_others(nowhere, tokens, expected):
    found = imported(
        "from service.config import CredentialsConfig\n"
        "from service.providers.credentials.build import build\n"
        f"build('a', None, CredentialsConfig(), key_header=('A', ''), tokens={tokens!r})\n"
    )
    assert expected in found
    assert {"botocore", "google.auth", "azure"} & set(found) == {expected}
