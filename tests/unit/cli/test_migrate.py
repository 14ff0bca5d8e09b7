"""`llmbase migrate`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from cli.__main__ import main
from tests.support.postgres import PASSWORD

_STORE = "providers: {}\nmodels: {}\nstore: "


def _run(*arguments: str, **environment: str):
    return CliRunner(env=environment).invoke(main, ["migrate", *arguments])


def _config(directory: Path, store: str) -> str:
    path = directory / "llmbase.yaml"
    path.write_text(_STORE + store)
    return str(path)


def test_it_makes_the_users_own_store_and_then_has_nothing_to_do(tmp_path):
    results = [_run(XDG_DATA_HOME=str(tmp_path)) for _ in range(2)]
    assert [result.output for result in results] == [
        "The tables are up to date now.\n",
        "The tables were up to date.\n",
    ]
    assert (tmp_path / "llmbase" / "llmbase.db").is_file()


def test_it_makes_the_tables_of_postgres(postgres, tmp_path):
    url = postgres.new_database()
    assert _run("--config", _config(tmp_path, f'{{url: "{url}"}}')).exit_code == 0
    assert postgres.sql("SELECT count(*) FROM ledger", url) == "0"


def test_a_store_that_cannot_be_reached_is_one_line_without_the_password(tmp_path):
    url = f"postgresql://llmbase:{PASSWORD}@127.0.0.1:1/name"
    result = _run("--config", _config(tmp_path, f'{{url: "{url}"}}'))
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "postgresql://127.0.0.1:1/name cannot be used" in result.output
    assert PASSWORD not in result.output


def test_where_nothing_is_kept_there_is_nothing_to_do(tmp_path):
    result = _run("--config", _config(tmp_path, "null"))
    assert result.exit_code == 1
    assert "nothing is kept" in result.output
