"""`llmbase explain`: how a running service would route a request now, and why."""

from __future__ import annotations

import click
from google.protobuf.json_format import MessageToJson
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.routing_pb2 import (
    ExplainRouteRequest,
    ExplainRouteResponse,
    RouteCandidate,
    RouteTrace,
    RouteVerdict,
)
from llmbase.v1.routing_pb2_grpc import RoutingServiceStub

from cli.connection import connection_options, metadata, open_channel
from cli.event_loop import run
from cli.faults import one_line

_TITLES = ("", "MODEL", "PROVIDER", "ASKED AS", "WHY", "BREAKER", "USUALLY", "IN FLIGHT")


@click.command("explain")
@connection_options
@click.option("--stream", is_flag=True, help="As a stream would be routed.")
@click.option("--timeout", type=click.FloatRange(min=0.001), help="The deadline, in seconds.")
@click.option("--user", help="The request's `user`: the session it belongs to.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, as JSON.")
@click.argument("model")
@click.argument("message", nargs=-1)
def command(
    address: str,
    key: str,
    stream: bool,
    timeout: float | None,
    user: str | None,
    as_json: bool,
    model: str,
    message: tuple[str, ...],
) -> None:
    """Say how a request to MODEL would be routed now. No provider is asked.

    The targets come in the order in which they would be tried, each as if those before it had
    failed.
    """
    request = ExplainRouteRequest(stream=stream)
    request.request.model = model
    if user:
        request.request.user = user
    text = " ".join(message) or "hello"
    request.request.messages.add(role=pb.ROLE_USER).content.add(text=text)
    if timeout is not None:
        request.timeout_ms = max(1, round(timeout * 1000))
    with one_line():
        response = run(_explain(address, key, request))
    click.echo(MessageToJson(response.trace) if as_json else _table(response.trace))


async def _explain(address: str, key: str, request: ExplainRouteRequest) -> ExplainRouteResponse:
    async with open_channel(address) as channel:
        return await RoutingServiceStub(channel).ExplainRoute(
            request, metadata=metadata(key), timeout=10
        )


def _table(trace: RouteTrace) -> str:
    rows: list[tuple[str, ...]] = [_TITLES]
    taken = 0
    for candidate in trace.candidates:
        place = ""
        if candidate.verdict == RouteVerdict.ROUTE_VERDICT_TAKEN:
            taken += 1
            place = f"{taken}."
        rows.append((place, *_row(candidate)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(_TITLES))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def _row(candidate: RouteCandidate) -> tuple[str, ...]:
    gate, verdict = candidate.gate, RouteVerdict.Name(candidate.verdict)
    return (
        candidate.model,
        candidate.provider or "-",
        candidate.provider_model or "-",
        verdict.removeprefix("ROUTE_VERDICT_").lower().replace("_", " "),
        gate.breaker.replace("_", " ") or "-",
        f"{gate.usual_seconds:.3f} s" if gate.HasField("usual_seconds") else "-",
        str(gate.in_flight) if candidate.HasField("gate") else "-",
    )
