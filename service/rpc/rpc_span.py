"""What a span says of one RPC, from its metadata to its end."""

from __future__ import annotations

from typing import Protocol

import grpc
from llmbase.v1 import chat_completion_pb2, routing_pb2
from llmbase.v1.chat_completion_pb2 import ChatCompletionRequest, RouteFacts, Usage

from service.accounts.caller import Caller
from service.errors import Error
from service.providers.call import Call
from service.routing import attempt_span
from service.rpc import status
from telemetry import spans
from telemetry.trace_context import TraceContext
from telemetry.tracing import Span, Tracer

_FULL_NAMES = {
    method.name: f"{service.full_name}/{method.name}"
    for file in (chat_completion_pb2.DESCRIPTOR, routing_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}
# Codes that say that the server, not the caller, has failed (OpenTelemetry's list for gRPC).
_OURS = frozenset(
    code.name
    for code in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)


class Ended(Protocol):
    """An RPC that is over; see `calls.OpenCall`."""

    call: Call
    caller: Caller
    outcome: str
    code: str
    route: RouteFacts | None
    usage: Usage | None
    replayed: bool


def begin(tracer: Tracer, method: str, parent: TraceContext | None) -> Span:
    """Return the span of an RPC that has come in."""
    name = _FULL_NAMES.get(method, method)
    return tracer.serve(name, parent, {spans.RPC_SYSTEM: "grpc", spans.RPC_METHOD: name})


def asked(span: Span, request: ChatCompletionRequest) -> None:
    """There is such a model: what is asked can be told."""
    if span.recording:
        span.set(spans.OPERATION, "chat")
        span.set(spans.REQUEST_MODEL, request.model)


def refused(span: Span, error: BaseException) -> None:
    """The RPC ended before it was open."""
    if not span.recording:
        return
    if isinstance(error, Error):
        said = status.from_error(error)
        _failed(span, said.reason, said.code.name)
    elif isinstance(error, Exception):
        _failed(span, "INTERNAL_ERROR", grpc.StatusCode.INTERNAL.name)
    else:
        _failed(span, "CANCELLED", grpc.StatusCode.CANCELLED.name)
    span.end()


def finish(ended: Ended) -> None:
    """Say how the RPC went, and end its span."""
    span = ended.call.span
    span.set(spans.REQUEST_ID, ended.call.request_id)
    span.set(spans.CALLER, ended.caller.name)
    if ended.replayed:
        span.set(spans.REPLAYED, True)
    if ended.route is not None:
        span.set(spans.RESPONSE_MODEL, ended.route.served_model)
        span.set(spans.PROVIDER, ended.route.provider)
        span.set(spans.ATTEMPTS, ended.route.attempts)
        span.set(spans.FALLBACK, ended.route.fallback_applied)
    if ended.usage is not None:
        attempt_span.used(span, ended.usage)
    if ended.outcome == "OK":
        span.set(spans.RPC_STATUS, "OK")
    else:
        _failed(span, ended.outcome, ended.code)
    span.end()


def _failed(span: Span, reason: str, code: str) -> None:
    span.set(spans.RPC_STATUS, code)
    span.fail(reason, ours=code in _OURS)
