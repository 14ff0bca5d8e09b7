"""`llmbase check`: says whether a configuration can be used, and if not, which key is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from cli.faults import one_line
from service.config import Config
from service.config_file import load
from service.providers import build


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file, for editors.")
def command(file: Path | None, schema: bool) -> None:
    """Check the configuration FILE.

    Exit code 0 and a summary if it can be used, else 1 and a line for each wrong key. Variables
    such as ${NAME} are read from the environment, as they will be when it is served.
    """
    if schema:
        click.echo(json.dumps(Config.model_json_schema(), indent=2))
        return
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    with one_line():
        config = load(file, os.environ)
        build.trust_all(config.providers)
    click.echo(
        f"{file}: ok ({len(config.providers)} providers, {len(config.models)} models, "
        f"{len(config.keys)} keys)"
    )
    if not config.keys and not config.identities:
        who = "every call will be refused" if config.store is None else "only the store's are known"
        click.echo(f"note: there are no keys here, so {who}", err=True)
