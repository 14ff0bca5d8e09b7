"""`llmbase migrate`: bring the tables of the store up to date, before anything needs them."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli.event_loop import run
from cli.faults import one_line
from service.config import StoreConfig
from service.config_file import load
from service.process import data_directory


@click.command("migrate")
@click.option(
    "--config",
    "-c",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="LLMBASE_CONFIG",
    show_envvar=True,
    help="Configuration file (YAML). Default: the store in the user's data directory.",
)
def command(config_file: Path | None) -> None:
    """Bring the tables of the store up to date, or make them.

    A service does that itself when it starts. This is for those who want it done before, by
    another user of the database or as a step of a rollout. Replicas may be running.
    """
    with one_line():
        store = load(config_file, os.environ).store if config_file is not None else StoreConfig()
        if store is None:
            raise click.ClickException("The configuration says `store: null`: nothing is kept.")
        # Imported here: what it needs is slow to load, and no other command does.
        from service.store.open import migrate_store  # noqa: PLC0415

        changed = run(migrate_store(store, data_directory()))
    click.echo("The tables are up to date now." if changed else "The tables were up to date.")
