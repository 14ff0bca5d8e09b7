"""`llmbase chat`: a conversation in the terminal, streamed over gRPC."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click
import grpc
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub
from llmbase.v1.model_pb2 import ListModelsRequest
from llmbase.v1.model_pb2_grpc import ModelServiceStub

from cli.connection import connection_options, metadata, open_channel
from cli.event_loop import run
from cli.faults import one_line

if TYPE_CHECKING:
    from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceAsyncStub


@click.command("chat")
@connection_options
@click.option("--model", "-m", help="Model id. Default: the first that the service lists.")
@click.option("--system", "-s", help="What to tell the model about its behaviour.")
@click.argument("message", nargs=-1)
def command(
    address: str, key: str, model: str | None, system: str | None, message: tuple[str, ...]
) -> None:
    """Chat with a model of a running service.

    With MESSAGE it answers once and ends; without, it goes on until end of file (Ctrl-D).
    Ctrl-C stops an answer.
    """
    with one_line():
        run(_chat(address, key, model, system, " ".join(message)))


async def _chat(
    address: str, key: str, model: str | None, system: str | None, question: str
) -> None:
    async with open_channel(address) as channel:
        request = pb.ChatCompletionRequest(model=model or await _first_model(channel, key))
        if system:
            request.messages.add(role=pb.ROLE_SYSTEM).content.add(text=system)
        stub = ChatCompletionServiceStub(channel)
        if question:
            await _turn(stub, request, key, question)
            return
        click.echo(f"{request.model}: say something; Ctrl-D ends.", err=True)
        while (line := await _ask()) is not None:
            if line.strip():
                await _turn(stub, request, key, line)


async def _first_model(channel: grpc.aio.Channel, key: str) -> str:
    listed = await ModelServiceStub(channel).ListModels(
        ListModelsRequest(), metadata=metadata(key), timeout=10
    )
    if not listed.models:
        raise click.ClickException("The service lists no model that this key may use.")
    return listed.models[0].id


async def _ask() -> str | None:
    prompt = click.style("> ", bold=True) if sys.stdin.isatty() else ""
    click.echo(prompt, nl=False, err=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    return line if line else None


async def _turn(
    stub: ChatCompletionServiceAsyncStub, request: pb.ChatCompletionRequest, key: str, question: str
) -> None:
    """Ask, print the answer as it comes, and remember both for the next turn."""
    request.messages.add(role=pb.ROLE_USER).content.add(text=question)
    said = []
    async for chunk in stub.StreamChatCompletion(request, metadata=metadata(key)):
        for delta in chunk.choices:
            if delta.reasoning_content:
                click.echo(click.style(delta.reasoning_content, dim=True), nl=False)
            if delta.content:
                said.append(delta.content)
                click.echo(delta.content, nl=False)
        sys.stdout.flush()
    click.echo()
    request.messages.add(role=pb.ROLE_ASSISTANT).content.add(text="".join(said))
