"""AWS signatures: what botocore itself would send, and what stands on the wire."""

import asyncio
import hashlib
import hmac
import json
from urllib.parse import quote

import botocore.auth
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ImagesConfig, TimeoutsConfig
from service.providers.call import Call
from service.providers.credentials.aws import SigV4
from service.providers.dialects.bedrock import BedrockDialect
from service.providers.http_client.client import HttpClient
from service.providers.http_client.dialing import Dialer
from service.providers.http_provider import HttpProvider
from service.providers.images import ImageFetcher

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session+token/=="
MODELS = [
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "us.amazon.nova-pro-v1:0",
    "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
    "arn:aws:bedrock:eu-west-1:123456789012:provisioned-model/abc/def",
    "strange model~name_(1)*+é%2F",
]


def sigv4(token=None):
    return SigV4(
        "aws",
        "eu-west-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        session_token=token,
    )


@pytest.fixture
def fixed_time(monkeypatch):
    import datetime

    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: moment)


def what_botocore_sends(model, endpoint, token, *, stream):
    """Let botocore's own client make the request, and catch it before it leaves."""
    session = botocore.session.Session()
    client = session.create_client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=endpoint,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )
    caught = []

    def catch(request, **_):
        caught.append(request)

        class Raw:
            def stream(self, *_, **__):
                yield b"{}"

            def read(self, *_):
                return b"{}"

            def close(self):
                pass

        return AWSResponse(request.url, 500, {}, Raw())

    client.meta.events.register("before-send.bedrock-runtime", catch)
    ask = client.converse_stream if stream else client.converse
    with pytest.raises(client.exceptions.ClientError):
        ask(modelId=model, messages=[{"role": "user", "content": [{"text": "Grüße"}]}])
    client.close()
    return caught[0]


@pytest.mark.parametrize(
    ("endpoint", "model", "token", "stream"),
    [
        *((None, model, TOKEN, stream) for model in MODELS for stream in (False, True)),
        (None, MODELS[0], None, False),
        ("http://127.0.0.1:8123", MODELS[2], TOKEN, False),
        ("https://Proxy.Test:443/aws", MODELS[2], None, True),
    ],
)
async def test_a_signature_is_what_botocores_own_client_makes(
    nowhere, fixed_time, endpoint, model, token, stream
):
    theirs = what_botocore_sends(model, endpoint, token, stream=stream)
    signed = theirs.headers["Authorization"]
    signed = signed.decode() if isinstance(signed, bytes) else signed
    names = signed.split("SignedHeaders=")[1].split(",")[0].split(";")
    # The same headers for us to sign, but for those that signing itself makes.
    headers = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in theirs.headers.items()
        if name.lower() in names and not name.lower().startswith(("host", "x-amz-"))
    }
    credentials = sigv4(token)
    url, ours = await credentials.authorize(theirs.url, headers, theirs.body)
    await credentials.close()
    assert url == theirs.url
    assert ours["Authorization"] == signed
    assert ours.get("X-Amz-Security-Token") == token
    # And the dialect's path is theirs, to the letter.
    request = pb.ChatCompletionRequest(model="m")
    request.messages.add(role=pb.ROLE_USER).content.add(text="Grüße")
    path = BedrockDialect().encode(request, model, stream=stream).path
    assert theirs.url.endswith(path)


def verify(head, body, *, secret=SECRET, region="eu-west-1"):
    """Compute the signature of a request as it stood on the wire, from AWS's documentation."""
    request_line, *lines = head.split("\r\n")
    method, target, _ = request_line.split(" ")
    path, _, query = target.partition("?")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = " ".join(value.split())
    algorithm, rest = headers["authorization"].split(" ", 1)
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    names = parts["SignedHeaders"].split(";")
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/~"),  # what is encoded on the wire is encoded once more
            "&".join(sorted(query.split("&"))) if query else "",
            *(f"{name}:{headers[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    day = headers["x-amz-date"][:8]
    scope = f"{day}/{region}/bedrock/aws4_request"
    key = b"AWS4" + secret.encode()
    for step in (day, region, "bedrock", "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    text = "\n".join(
        [algorithm, headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    expected = hmac.new(key, text.encode(), "sha256").hexdigest()
    assert {"host", "x-amz-date"} <= set(names)
    named = parts["Credential"] == f"{KEY}/{scope}"
    return named and parts["Signature"] == expected, headers


@pytest.fixture
async def wire():
    """A raw server on which nothing is decoded: the heads and bodies that it was sent."""
    seen = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n")
        length = int(
            next(x for x in head.split("\r\n") if x.lower().startswith("content-length")).split(
                ":"
            )[1]
        )
        seen.append((head, await reader.readexactly(length)))
        answer = json.dumps(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
            }
        ).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen_at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield seen_at, seen
    server.close()


async def send(base_url, model, credentials, headers=None):
    """Ask through a provider as the service builds it."""
    images = ImageFetcher(ImagesConfig())
    provider = HttpProvider(
        "aws",
        BedrockDialect(),
        HttpClient(Dialer(5)),
        base_url,
        timeouts=TimeoutsConfig(),
        largest_answer=2**20,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "llmbase/1 (a  b)",
            **(headers or {}),
        },
        credentials=credentials,
        images=images,
    )
    request = pb.ChatCompletionRequest(model="m")
    request.messages.add(role=pb.ROLE_USER).content.add(text="Grüße")
    call = Call("r")
    try:
        http = provider.encode(request, model, call, stream=False)
        answer = await provider.complete(http, call)
    finally:
        await provider.close()
        await images.close()
    assert answer.choices[0].message.content[0].text == "hello"
    return http.path


@pytest.mark.parametrize("prefix", ["", "/aws/v1"])
@pytest.mark.parametrize("model", MODELS)
async def test_the_path_on_the_wire_is_the_signed_one_and_the_signature_verifies(
    nowhere, wire, model, prefix
):
    url, seen = wire
    path = await send(url + prefix, model, sigv4(TOKEN), {"X-Custom": "  two   spaces "})
    (head, body), *_ = seen
    assert head.split(" ")[1] == prefix + path
    assert "/" not in path.removeprefix("/model/").removesuffix("/converse")
    assert ":" not in path
    verifies, headers = verify(head, body)
    assert verifies
    assert headers["x-amz-security-token"] == TOKEN
    assert headers["host"] == url.removeprefix("http://")


async def test_the_check_above_notices_a_single_changed_byte(nowhere, wire):
    url, seen = wire
    await send(url, MODELS[0], sigv4())
    (head, body), *_ = seen
    assert verify(head, body)[0]
    assert not verify(head, body + b" ")[0]
    assert not verify(head.replace("%3A", ":"), body)[0]
    assert not verify(head, body, secret=SECRET + "x")[0]
    assert not verify(head, body, region="us-east-1")[0]


async def test_signing_replaces_an_authorization_that_was_there(nowhere, wire):
    url, seen = wire
    await send(url, MODELS[0], sigv4(), {"Authorization": "Bearer s3cret"})
    (head, body), *_ = seen
    assert verify(head, body)[0]
    assert "s3cret" not in head
