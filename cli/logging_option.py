"""The option that says how much a server logs."""

from __future__ import annotations

import click

log_level_option = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    envvar="LLMBASE_LOG_LEVEL",
    show_default=True,
    show_envvar=True,
    help="What is logged, as JSON lines on standard error.",
)
