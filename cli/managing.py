"""What commands about accounts and keys share: the question, pages, tables, times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from cli.connection import metadata, open_channel
from cli.event_loop import run
from cli.faults import one_line

T = TypeVar("T")
Ask = Callable[[Any, Message], Awaitable[Any]]

_PAGE = 1000
_TIMEOUT = 30.0  # seconds for one answer


def asking(address: str, key: str, work: Callable[[grpc.aio.Channel, Ask], Awaitable[T]]) -> T:
    """Return what `work` makes of a service's answers; what goes wrong is one line."""

    async def ask(method: Any, request: Message) -> Any:
        return await method(request, metadata=metadata(key), timeout=_TIMEOUT)

    async def main() -> T:
        async with open_channel(address) as channel:
            return await work(channel, ask)

    with one_line():
        return run(main())


async def pages(ask: Ask, method: Any, request: Any) -> AsyncIterator[Any]:
    """Give every page of a list, whatever else the request asks for."""
    request.page_size = _PAGE
    while True:
        answer = await ask(method, request)
        yield answer
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> str:
    """Return rows as columns; the last `right` of them are numbers."""
    lines = [tuple(titles), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    numbers = len(titles) - right
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < numbers else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_dict(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it, by the names of the proto."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def moment(seconds: int) -> str:
    """Return a time for people: UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


json_option = click.option("--json", "as_json", is_flag=True, help="All of it, as JSON.")
