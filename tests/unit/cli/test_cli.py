"""The command line: what it says of itself, and how it says what is wrong."""

import json

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cli.__main__ import main
from cli.default_config import default_config, new_key
from service.providers.dialects import DIALECTS

COMMANDS = [
    *(
        "up",
        "service",
        "gateway",
        "health",
        "check",
        "providers",
        "models",
        "chat",
        "explain",
        "model",
    ),
    *("accounts", "keys", "usage", "migrate"),
]

GOOD = """
providers:
  acme: {dialect: openai, base_url: "http://127.0.0.1:9/v1", api_key: ${ACME_API_KEY}}
models:
  acme/*: {targets: [{provider: acme}]}
keys:
  - {name: demo, sha256: 8fb3d3ae9fbe7f0ac1a1b5ae31ad4e1ea4d6b2b1db2b6c4a50c5d0f8b0d6f7a1}
"""


def _run(*arguments, **environment):
    return CliRunner(env=environment).invoke(main, arguments)


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "llmbase.yaml"
    path.write_text(GOOD)
    return path


def test_help_names_every_command():
    result = _run("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    result = _run(name, "--help")
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_a_good_file_is_ok(good):
    result = _run("check", str(good), ACME_API_KEY="k")
    assert result.exit_code == 0
    assert "ok (1 providers, 1 models, 1 keys)" in result.output


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("targets", "targetz", "models.acme/*.targetz: there is no such key"),
        ("openai", "opnai", "providers.acme.dialect: must be one of "),
        ('base_url: "http://127.0.0.1:9/v1", ', 'proxy: "http://p", ', "none"),
    ],
)
def test_a_bad_file_is_refused_in_a_line_that_names_the_key(good, old, new, says):
    good.write_text(GOOD.replace(old, new))
    result = _run("check", str(good), ACME_API_KEY="k")
    if says == "none":  # openai has a base URL of its own
        assert result.exit_code == 0
        return
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", [["check"], ["up", "--config"], ["service", "--config"]])
def test_a_file_that_is_not_there_is_one_line(command):
    result = _run(*command, "/nowhere/llmbase.yaml")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "/nowhere/llmbase.yaml: cannot be read" in result.output


def test_the_schema_accepts_what_the_check_accepts():
    result = _run("check", "--schema")
    schema = json.loads(result.output)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    provider = {"dialect": "openai", "timeouts": {"connect": "2s", "total": 10}}
    model = {"targets": [{"provider": "a"}]}
    assert validator.is_valid({"providers": {"a": provider}, "models": {"m": model}})
    assert not validator.is_valid({"providers": {"a": {**provider, "colour": 1}}, "models": {}})


def test_the_built_in_configuration_is_open_to_its_key_alone():
    key, other = new_key(), new_key()
    assert key.startswith("llmbase_")
    assert len(key) >= len("llmbase_") + 32
    assert default_config(key).keys != default_config(other).keys
    assert list(default_config(key).models) == ["local/smollm2-135m-instruct"]


def test_every_dialect_is_listed_with_its_endpoint_and_key():
    result = _run("providers")
    assert result.exit_code == 0
    for name, spec in DIALECTS.items():
        (line,) = [line for line in result.output.splitlines() if line.split()[0] == name]
        assert spec.base_url is None or spec.base_url in line
        assert spec.key_variable is None or spec.key_variable in line


@pytest.mark.parametrize(
    "name", [n for n, spec in DIALECTS.items() if spec.base_url and n != "bedrock"]
)
def test_a_dialect_and_a_key_are_all_a_user_writes(tmp_path, name):
    config = tmp_path / "llmbase.yaml"
    config.write_text(
        f"providers: {{it: {{dialect: {name}, api_key: a-key}}}}\n"
        "models: {it/*: {targets: [{provider: it}]}}\n"
    )
    assert _run("check", str(config)).exit_code == 0


@pytest.mark.parametrize(
    "url",
    ["mysql://u:pass-word@h/n", "postgresql://u:pass-word@h:x/n", "postgresql://u:pass-word@h"],
)
def test_checking_a_file_says_nothing_of_the_stores_password(good, url):
    good.write_text(f"{GOOD}store: {{url: '{url}'}}\nshared: {{url: 'redis://:pass-word@h'}}\n")
    result = _run("check", str(good), ACME_API_KEY="k")
    assert "pass-word" not in result.output


def test_the_built_in_configuration_lets_a_newcomer_manage_accounts():
    (key,) = default_config(new_key()).keys
    assert key.admin
