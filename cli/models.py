"""`llmbase models`: what a running service can be asked."""

from __future__ import annotations

from decimal import Decimal

import click
from llmbase.v1.model_pb2 import ListModelsRequest, Model
from llmbase.v1.model_pb2_grpc import ModelServiceStub

from cli.connection import connection_options, metadata, open_channel
from cli.event_loop import run
from cli.faults import one_line


@click.command("models")
@connection_options
def command(address: str, key: str) -> None:
    """List the models of a running service: id, context length, features, price."""
    with one_line():
        run(_list(address, key))


async def _list(address: str, key: str) -> None:
    async with open_channel(address) as channel:
        response = await ModelServiceStub(channel).ListModels(
            ListModelsRequest(), metadata=metadata(key), timeout=10
        )
    rows = [("MODEL", "CONTEXT", "FEATURES", "USD PER MILLION TOKENS")]
    rows += [_row(model) for model in response.models]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _row(model: Model) -> tuple[str, str, str, str]:
    context = str(model.context_length) if model.HasField("context_length") else "-"
    features = ", ".join((*model.supported_features, *model.input_modalities[1:])) or "-"
    return model.id, context, features, _price(model)


def _price(model: Model) -> str:
    if not model.HasField("pricing"):
        return "-"
    return " / ".join(
        f"{Decimal(price) * 1_000_000:f}".rstrip("0").rstrip(".") or "0"
        for price in (model.pricing.prompt, model.pricing.completion)
    )
