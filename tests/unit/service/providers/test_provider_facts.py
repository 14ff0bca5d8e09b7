"""What spans say of a provider."""

import pytest

from service.providers.provider_facts import provider_facts
from telemetry.spans import PROVIDER_NAME, SERVER_ADDRESS, SERVER_PORT


@pytest.mark.parametrize(
    ("dialect", "url", "facts"),
    [
        ("openai", "https://api.openai.com/v1", ("openai", "api.openai.com", 443)),
        ("bedrock", "https://h.example", ("aws.bedrock", "h.example", 443)),
        ("groq", "http://user:pass@h.example:81/x?key=y", ("groq", "h.example", 81)),
        ("llmbase", "grpc://[::1]:50051", ("llmbase", "::1", 50051)),
        ("llmbase", "unix:/run/llmbase/s", ("llmbase", "/run/llmbase/s", None)),
        ("embedded", None, ("embedded", None, None)),
    ],
)
def test_whose_api_it_is_and_where_but_no_path_and_no_password(dialect, url, facts):
    told = provider_facts(dialect, url)
    assert (told[PROVIDER_NAME], told.get(SERVER_ADDRESS), told.get(SERVER_PORT)) == facts
    assert len(told) == 1 + sum(it is not None for it in facts[1:])


def test_an_address_that_cannot_be_used_is_no_reason_not_to_start():
    assert provider_facts("openai", "http://127.0.0.1:1:secret/v1") == {
        PROVIDER_NAME: "openai",
        SERVER_ADDRESS: "127.0.0.1",
    }
