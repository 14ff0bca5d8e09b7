"""The configuration file: what is read, and that every error names its key."""

import pytest

from service.config_file import load, parse
from service.mendable import ConfigError

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
        ("127.0.0.1:0", "127.0.0.1:99999", "server.grpc.0: must have a port of at most 65535"),
        (
            "keys:\n",
            f"keys:\n  - {{name: demo, sha256: {'a' * 64}}}\n",
            "keys.1.name: 'demo' is taken by another one",
        ),
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


FAR = "dialect: llmbase, base_url: grpc://far.example:50051"


@pytest.mark.parametrize(
    "url",
    ["grpc://far.example:1", "grpc://[::1]:65535", "grpcs://10.0.0.1:443", "unix:/run/l.sock"],
)
def test_another_llmbase_is_found_over_grpc(url):
    far = GOOD.replace("dialect: openai, base_url: http://127.0.0.1:9100/v1", FAR, 1)
    config = parse(far.replace("grpc://far.example:50051", f'"{url}"'), {"ACME_API_KEY": "k"})
    assert config.providers["acme"].base_url == url


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("dialect: openai, base_url: grpc://far.example:1", "`base_url` must be an http(s) URL"),
        ("dialect: openai, base_url: unix:/run/l.sock", "`base_url` must be an http(s) URL"),
        ("dialect: llmbase, base_url: http://far.example", "`base_url` must be grpc://HOST:PORT"),
        ("dialect: llmbase, base_url: grpc://far.example", "providers.acme.base_url: "),
        ("dialect: llmbase, base_url: grpc://a:b@far.example:1", "providers.acme.base_url: "),
        ("dialect: llmbase, base_url: grpc://far.example:1/v1", "providers.acme.base_url: "),
        (FAR + ", proxy: http://proxy.example", "`proxy` is not for `dialect: llmbase`"),
        (FAR + ", extra_body: {a: 1}", "`extra_body` is not for `dialect: llmbase`"),
        (FAR + ", credentials: {scheme: bearer}", "`credentials` is not for `dialect: llmbase`"),
        (FAR + ", ca_file: /ca.pem", "`ca_file` needs a `base_url` with grpcs://"),
        (FAR + ", headers: {Grpc-Timeout: 1S}", "`Grpc-Timeout` cannot be sent"),
        (FAR + ", headers: {x-key-bin: a}", "`x-key-bin` cannot be sent"),
        (FAR + ", headers: {a key: a}", "`a key` cannot be sent"),
        (FAR + ', headers: {a: "\u20ac"}', "`a` cannot be sent"),
    ],
)
def test_keys_that_do_not_fit_another_llmbase_are_named(new, says):
    with pytest.raises(ConfigError) as raised:
        parse(
            GOOD.replace("dialect: openai, base_url: http://127.0.0.1:9100/v1", new, 1),
            {"ACME_API_KEY": "s3cret"},
        )
    assert "providers.acme" in str(raised.value)
    assert says in str(raised.value)


def test_a_key_that_grpc_cannot_send_is_said_without_the_key():
    far = GOOD.replace("dialect: openai, base_url: http://127.0.0.1:9100/v1", FAR, 1)
    with pytest.raises(ConfigError) as raised:
        parse(far, {"ACME_API_KEY": "s3crét"})
    assert "`api_key` cannot be sent" in str(raised.value)
    assert "s3cr" not in str(raised.value)


@pytest.mark.parametrize(
    ("telemetry", "says"),
    [
        ("traces: otel:4317", "telemetry.traces: "),
        ("traces: http://user:s3cret@otel:4318", "telemetry.traces: "),
        ('traces: "http://otel:4318?a=b"', "telemetry.traces: "),
        ("sampling: 1.5", "telemetry.sampling: "),
        ("contents: true", "telemetry.contents: there is no such key"),
        ('headers: {a: "s3cret\\n"}', "`headers.a` cannot be sent"),
        ('headers: {"a b": s3cret}', "`headers.a b` cannot be sent"),
    ],
)
def test_what_is_wrong_with_telemetry_is_named_without_a_secret(telemetry, says):
    with pytest.raises(ConfigError) as raised:
        parse(GOOD + f"telemetry: {{{telemetry}}}", {"ACME_API_KEY": "k"})
    assert says in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_where_traces_go_and_its_secret_are_read():
    text = GOOD + 'telemetry: {traces: "https://otel.example/a", headers: {k: "${ACME_API_KEY}"}}'
    telemetry = parse(text, {"ACME_API_KEY": "s3cret"}).telemetry
    assert (telemetry.traces, telemetry.sampling, telemetry.content) == (
        "https://otel.example/a",
        1.0,
        False,
    )
    assert telemetry.headers["k"].get_secret_value() == "s3cret"
    assert "s3cret" not in repr(telemetry)


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


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('api_key: "sesame-1234}', "found unexpected end of stream, in line 3"),
        ("{api_key: sesame-1234: x}", "expected ',' or '}', but got ':', in line 2, column 24"),
        ("api_key: !sesame-1234 x", "could not determine a constructor for the tag ..., in line 2"),
        ("api_key: *sesame-1234", "found undefined alias ..., in line 2, column 12"),
        ("api_key: 'sesame-1234", "while scanning a quoted scalar"),
        ("a: sesame-1234\n  a: b", "the key 'a' appears twice, in line 3, column 3"),
    ],
)
def test_what_is_no_yaml_is_named_by_its_place_and_never_quoted(line, says):
    with pytest.raises(ConfigError) as caught:
        parse(f"providers:\n  {line}\n", {})

    assert says in str(caught.value)
    assert "sesame" not in str(caught.value)
