"""Where AWS keys come from when the configuration has none, and that they are renewed in time."""

import asyncio
import datetime
import threading
from urllib.parse import parse_qs

import botocore.credentials
import pytest
from botocore.exceptions import ConfigParseError, ProfileNotFound

from service.errors import FaultKind, ProviderFault
from service.providers.credentials import renewed
from service.providers.credentials.aws import SigV4
from tests.unit.service.providers.credentials.clouds import in_, until

URL = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m%3A0/converse"

STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>
<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>{expires}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


@pytest.fixture
async def sigv4(nowhere):
    """A maker of signers, which are closed in the end."""
    made = []

    def make(**options):
        made.append(SigV4("aws", "eu-west-1", **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def signed_with(credentials):
    """The access key and the session token that a request is signed with."""
    _, headers = await credentials.authorize(URL, {"Accept": "*/*"}, b"{}")
    key, _, region, service, _ = (
        headers["Authorization"].split("Credential=")[1].split(",")[0].split("/")
    )
    assert (region, service) == ("eu-west-1", "bedrock")
    return key, headers.get("X-Amz-Security-Token")


async def test_keys_of_the_configuration_come_before_all_others(sigv4, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    signer = sigv4(access_key_id="OURS", secret_access_key="s", session_token="t")
    assert await signed_with(signer) == ("OURS", "t")


async def test_the_environment(sigv4, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert await signed_with(sigv4()) == ("ENV", "token")


async def test_a_profile_of_the_credentials_file(sigv4, nowhere):
    (nowhere / ".aws").mkdir()
    (nowhere / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id=DEFAULT\naws_secret_access_key=s\n"
        "[work]\naws_access_key_id=WORK\naws_secret_access_key=s\n"
    )
    assert await signed_with(sigv4()) == ("DEFAULT", None)
    assert await signed_with(sigv4(profile="work")) == ("WORK", None)


async def test_a_profile_that_runs_a_program(sigv4, nowhere):
    (nowhere / ".aws").mkdir()
    program = nowhere / "keys"
    program.write_text(
        '#!/bin/sh\necho \'{"Version": 1, "AccessKeyId": "PROGRAM", "SecretAccessKey": "s", '
        f'"SessionToken": "t", "Expiration": "{in_(3600)}"}}\'\n'
    )
    program.chmod(0o700)
    (nowhere / ".aws" / "config").write_text(f"[default]\ncredential_process = {program}\n")
    assert await signed_with(sigv4()) == ("PROGRAM", "t")


@pytest.mark.parametrize("content", ["[default", "nonsense", "\x00"])
def test_a_file_that_is_none_is_said_at_the_start(nowhere, content):
    (nowhere / ".aws").mkdir()
    (nowhere / ".aws" / "config").write_text(content)
    with pytest.raises(ConfigParseError):
        SigV4("aws", "eu-west-1")


def test_a_profile_that_is_not_there_is_said_at_the_start(nowhere):
    with pytest.raises(ProfileNotFound):
        SigV4("aws", "eu-west-1", profile="work")


@pytest.fixture
def web_identity(cloud, monkeypatch, nowhere):
    """A pod of Kubernetes with a role, and an STS that knows it; `keys` are given one by one."""
    (nowhere / "token").write_text("the-pods-own-token")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(nowhere / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", cloud.url)
    cloud.keys = iter(["FIRST", "SECOND", "THIRD", "FOURTH"])
    cloud.life = 3600

    def answer(_):
        return 200, STS.format(key=next(cloud.keys), expires=in_(cloud.life)).encode()

    cloud.answer = answer
    return cloud


async def test_a_web_identity_is_exchanged_for_keys_once(sigv4, web_identity):
    signer = sigv4()
    assert await signed_with(signer) == ("FIRST", "token")
    assert await signed_with(signer) == ("FIRST", "token")
    asked = parse_qs(web_identity.asked[0].body)
    assert asked["WebIdentityToken"] == ["the-pods-own-token"]
    assert asked["RoleArn"] == ["arn:aws:iam::123456789012:role/pod"]
    assert "authorization" not in web_identity.asked[0].headers
    assert len(web_identity.asked) == 1


async def test_sts_is_asked_in_the_region_of_the_endpoint(sigv4, web_identity, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    monkeypatch.setenv("HTTPS_PROXY", web_identity.url)  # who sees where it leads
    web_identity.answer = lambda _: (403, {})
    with pytest.raises(ProviderFault, match="ProxyConnectionError"):
        await signed_with(sigv4())
    assert set(web_identity.paths) == {"sts.eu-west-1.amazonaws.com:443"}


async def test_many_requests_at_once_ask_sts_once(sigv4, web_identity):
    signer = sigv4()
    signed = await asyncio.gather(*(signed_with(signer) for _ in range(30)))
    assert signed == [("FIRST", "token")] * 30
    assert len(web_identity.asked) == 1


async def test_sts_says_no_without_a_word_of_it_in_the_fault(sigv4, web_identity):
    web_identity.answer = lambda _: (
        403,
        b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>s3cret</Message></Error>"
        b"</ErrorResponse>",
    )
    with pytest.raises(ProviderFault) as fault:
        await signed_with(sigv4())
    assert fault.value.kind is FaultKind.CONNECT
    assert fault.value.detail == "no credentials: ClientError"
    assert len(web_identity.asked) == 1  # a refusal is not tried twice


async def test_an_identity_whose_file_is_gone_is_a_fault(sigv4, web_identity, nowhere):
    (nowhere / "token").unlink()
    with pytest.raises(ProviderFault, match="no credentials: "):
        await signed_with(sigv4())
    assert not web_identity.asked


class Clock:
    """The time as botocore sees it, to be moved."""

    def __init__(self, monkeypatch):
        self.ahead = 0
        real = botocore.credentials._local_now

        def now():
            return real() + datetime.timedelta(seconds=self.ahead)

        monkeypatch.setattr(botocore.credentials, "_local_now", now)
        defaults = botocore.credentials.DeferredRefreshableCredentials.__init__.__defaults__
        monkeypatch.setattr(
            botocore.credentials.DeferredRefreshableCredentials.__init__,
            "__defaults__",
            tuple(now if value is real else value for value in defaults),
        )


async def test_keys_are_renewed_before_they_end_while_requests_go_on(
    sigv4, web_identity, monkeypatch
):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(renewed, "_LOOK", 0.01)
    signer = sigv4()
    assert (await signed_with(signer))[0] == "FIRST"
    held, answered = threading.Event(), threading.Event()
    plain = web_identity.answer

    def slowly(asked):
        held.set()
        assert answered.wait(10)
        return plain(asked)

    web_identity.answer = slowly
    clock.ahead = 3600 - 200
    web_identity.life += clock.ahead
    await until(held.is_set)
    # STS is being asked, and nobody waits for it.
    async with asyncio.timeout(1):
        assert (await signed_with(signer))[0] == "FIRST"
    answered.set()
    await until(signer._keys._fetching.done)
    assert (await signed_with(signer))[0] == "SECOND"


async def test_keys_that_have_ended_are_never_signed_with(sigv4, web_identity, monkeypatch):
    """After a night's sleep of the machine, the first request waits for new ones."""
    clock = Clock(monkeypatch)
    signer = sigv4()
    assert (await signed_with(signer))[0] == "FIRST"
    clock.ahead = 4000
    web_identity.life += clock.ahead
    assert (await signed_with(signer))[0] == "SECOND"


async def test_a_renewal_that_fails_keeps_the_keys_until_they_end(
    sigv4, web_identity, monkeypatch, caplog
):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(renewed, "_LOOK", 0.01)
    signer = sigv4()
    await signed_with(signer)
    web_identity.answer = lambda _: (400, b"<ErrorResponse/>")
    clock.ahead = 3600 - 100
    await until(lambda: "llmbase.credentials" in {record.name for record in caplog.records})
    assert (await signed_with(signer))[0] == "FIRST"
    clock.ahead = 3601
    with pytest.raises(ProviderFault, match="no credentials: ClientError"):
        await signed_with(signer)


async def test_a_containers_role(sigv4, cloud, monkeypatch, nowhere):
    (nowhere / "token").write_text("Basic pods-token")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{cloud.url}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(nowhere / "token"))
    cloud.answer = lambda _: (
        200,
        {
            "AccessKeyId": "CONTAINER",
            "SecretAccessKey": "s",
            "Token": "t",
            "Expiration": in_(3600),
        },
    )
    assert await signed_with(sigv4()) == ("CONTAINER", "t")
    assert cloud.asked[0].headers["authorization"] == "Basic pods-token"
    assert cloud.paths == ["/v1/credentials"]


async def test_an_instances_role(sigv4, cloud, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{cloud.url}/")

    def answer(asked):
        if asked.path == "/latest/api/token":
            return 200, b"imds-token"
        assert asked.headers["x-aws-ec2-metadata-token"] == "imds-token"
        if asked.path.endswith("/security-credentials/"):
            return 200, b"the-role"
        return 200, {
            "Code": "Success",
            "AccessKeyId": "INSTANCE",
            "SecretAccessKey": "s",
            "Token": "t",
            "Expiration": in_(3600),
        }

    cloud.answer = answer
    assert await signed_with(sigv4()) == ("INSTANCE", "t")
    assert cloud.asked[0].method == "PUT"
    assert cloud.paths[-1].endswith("/security-credentials/the-role")


async def test_no_keys_anywhere_are_a_fault_and_are_found_once_they_are_there(sigv4, monkeypatch):
    monkeypatch.setattr(renewed, "_PAUSE", 0)
    signer = sigv4()
    with pytest.raises(ProviderFault) as fault:
        await signed_with(signer)
    assert fault.value.kind is FaultKind.CONNECT
    assert fault.value.detail == "no credentials: NoCredentialsError"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert (await signed_with(signer))[0] == "ENV"


async def test_an_sts_that_does_not_answer_is_given_up_in_seconds(web_identity, monkeypatch):
    from service.providers.credentials import aws

    monkeypatch.setattr(aws, "_ANSWER", 0.1)
    release = threading.Event()

    def hang(_):
        release.wait(10)
        return 500, b""

    web_identity.answer = hang
    signer = SigV4("aws", "eu-west-1")
    try:
        async with asyncio.timeout(8):
            with pytest.raises(ProviderFault, match="no credentials: ReadTimeoutError"):
                await signed_with(signer)
    finally:
        release.set()
        await signer.close()
    assert len(web_identity.asked) == 2


async def test_closing_does_not_wait_for_an_sts_that_hangs(web_identity):
    asked, release = threading.Event(), threading.Event()

    def hang(_):
        asked.set()
        release.wait(10)
        return 400, b"<ErrorResponse/>"

    web_identity.answer = hang
    signer = SigV4("aws", "eu-west-1")
    waiting = asyncio.create_task(signed_with(signer))
    try:
        await asyncio.to_thread(asked.wait, 10)
        async with asyncio.timeout(1):
            await signer.close()
        with pytest.raises(ProviderFault):
            await waiting
    finally:
        release.set()
