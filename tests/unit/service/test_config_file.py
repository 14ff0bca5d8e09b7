"""The configuration file: what is read, and that every error names its key."""

import pytest

from service.config_file import ConfigError, load, parse

GOOD = """
server: {grpc: [127.0.0.1:0, "unix:/tmp/s.sock"], drain: 500ms, public_models: true}
providers:
  acme: {dialect: openai, base_url: http://127.0.0.1:9100/v1, api_key: ${ACME_API_KEY},
         timeouts: {connect: 2s, first_content: 30, idle: 1.5s, total: 10m}}
models:
  zai-org/glm-5:
    policy: weighted
    targets: [{provider: acme, model: glm-5, weight: 3}]
    supported_features: [tools]
    pricing: {prompt: "0.000001", completion: "0.0000032"}
  groq/*:
    targets: [{provider: acme}]
keys:
  - {name: demo, sha256: 5E884898DA28047151D0E56F8DC6292773603D0D6AABBDD62A11EF721D1542D8}
"""


def test_durations_variables_and_prices_are_read():
    config = parse(GOOD, {"ACME_API_KEY": "s3cret: {}"})
    acme = config.providers["acme"]
    assert config.server.drain == 0.5
    assert acme.api_key.get_secret_value() == "s3cret: {}"
    assert (acme.timeouts.connect, acme.timeouts.first_content) == (2, 30)
    assert (acme.timeouts.idle, acme.timeouts.total) == (1.5, 600)
    assert config.models["zai-org/glm-5"].pricing.prompt == "0.000001"
    assert config.keys[0].sha256.startswith("5e88")


def test_a_secret_is_not_shown_when_the_configuration_is_printed():
    config = parse(GOOD, {"ACME_API_KEY": "s3cret-s3cret"})
    assert "s3cret" not in repr(config) + str(config.model_dump())


def test_one_address_may_stand_for_a_list():
    config = parse(
        GOOD.replace('[127.0.0.1:0, "unix:/tmp/s.sock"]', "127.0.0.1:5"), {"ACME_API_KEY": "k"}
    )
    assert config.server.grpc == ("127.0.0.1:5",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "policy: weighted",
            "polizy: weighted",
            "models.zai-org/glm-5.polizy: there is no such key",
        ),
        ("drain: 500ms", "drain: soon", "server.drain: must be a duration such as 300ms"),
        ("drain: 500ms", "drain: 0", "server.drain: "),
        ("drain: 500ms", "drain: true", "server.drain: must be a duration"),
        (
            "provider: acme, model",
            "provider: acmee, model",
            "provider: 'acmee' is not among the providers: acme",
        ),
        ('"0.000001"', "0.000001", "pricing.prompt: must be a decimal in quotes"),
        ('"0.000001"', '"-1"', "pricing.prompt: must be zero or more"),
        ('"0.000001"', '"NaN"', "pricing.prompt: must be zero or more"),
        (
            "[tools]",
            "[toolz]",
            "models.zai-org/glm-5.supported_features.0: Input should be 'tools'",
        ),
        ("weight: 3", "weight: -1", "targets.0.weight: "),
        ("  groq/*", "  gr*q", "models.gr*q"),
        ("127.0.0.1:0", "nowhere", "server.grpc.0: "),
        ("name: demo", "nam: demo", "keys.0.nam: there is no such key"),
        (
            "    policy: weighted",
            "    fallbacks: [none/such]",
            "fallbacks: 'none/such' is not another model",
        ),
        (
            "    policy: weighted",
            "    policy: weighted\n    policy: priority",
            "the key 'policy' appears twice",
        ),
        ("dialect: openai", "dialect: openai, model: x.gguf", "are for `dialect: embedded`"),
        ("base_url: http:", "base_url: ftp:", "providers.acme.base_url: "),
    ],
)
def test_an_error_names_the_key_and_what_is_allowed(old, new, says):
    assert old in GOOD
    with pytest.raises(ConfigError) as raised:
        parse(GOOD.replace(old, new, 1), {"ACME_API_KEY": "s3cret-s3cret"})
    assert says in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_variable_that_is_not_set_is_named_with_its_key():
    with pytest.raises(ConfigError, match=r"providers\.acme\.api_key: .* ACME_API_KEY is not set"):
        parse(GOOD, {})


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\x00", "- 1\n- 2", "&a [*a]"])
def test_what_is_not_a_configuration_is_said_so(text):
    with pytest.raises(ConfigError):
        parse(text, {})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load(tmp_path / "none.yaml", {})
