"""RoutingService: says how calls are routed, without making one."""

from __future__ import annotations

from llmbase.v1.routing_pb2 import ExplainRouteRequest, ExplainRouteResponse
from llmbase.v1.routing_pb2_grpc import RoutingServiceServicer

from service.errors import InvalidRequest
from service.routing.explain import explain
from service.rpc.calls import Calls, Context
from service.rpc.open_call import OpenCall

_MILLISECOND = 0.001  # seconds


class RoutingServicer(RoutingServiceServicer):
    """Explains with the dispatcher's own plan, run dry."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def ExplainRoute(  # noqa: N802 - gRPC's name
        self, request: ExplainRouteRequest, context: Context
    ) -> ExplainRouteResponse:
        """Return how the request would be routed now."""
        opened: OpenCall | None = None
        try:
            opened = await self._calls.open("ExplainRoute", context)
            if not request.HasField("request"):
                raise InvalidRequest("request", "is required")
            opened.check(request.request)
            call = opened.call
            if request.HasField("timeout_ms"):
                if request.timeout_ms < 1:
                    raise InvalidRequest("timeout_ms", "must be at least 1")
                call = call.fork(seconds=request.timeout_ms * _MILLISECOND)
            dispatcher = opened.generation.dispatcher
            plan = dispatcher.plan(request.request, call, stream=request.stream, dry=True)
            explain(plan, request.request, call, stream=request.stream)
            opened.outcome = "OK"
            return ExplainRouteResponse(trace=plan.trace)
        except Exception as error:
            await self._calls.abort(context, error, "ExplainRoute", opened)
        finally:
            if opened is not None:
                self._calls.close(opened)
