"""`llmbase providers`: what a provider's `dialect` can be, and what it needs."""

from __future__ import annotations

import click

from service.providers.dialects import DIALECTS, DialectSpec

_CLOUDS = {"aws": "AWS credentials", "google": "Google credentials", "azure": "Entra credentials"}


@click.command("providers")
def command() -> None:
    """List the dialects: the name for `dialect:`, the endpoint it is for, and its usual key.

    A provider whose endpoint is listed needs two keys in the configuration, as in
    `groq: {dialect: groq, api_key: ${GROQ_API_KEY}}`; one without needs a base_url as well.
    """
    rows = [("DIALECT", "API KEY", "BASE URL"), *map(_row, sorted(DIALECTS.items()))]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _row(item: tuple[str, DialectSpec]) -> tuple[str, str, str]:
    name, spec = item
    keys = [f"${{{spec.key_variable}}}"] if spec.key_variable else []
    keys += [_CLOUDS[spec.tokens]] if spec.tokens else []
    here = "inside llmbase" if name == "embedded" else "yours: base_url"
    return name, " or ".join(keys) or "none", spec.base_url or here
