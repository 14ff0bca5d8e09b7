"""GET /v1/models and /v1/models/{id}: the service's models as OpenAI's list and object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import orjson
from llmbase.v1 import model_pb2 as pb

from gateway.errors import from_rpc, invalid_request
from gateway.exchange import Exchange, metadata, timeout
from gateway.whole_answer import WholeAnswer

if TYPE_CHECKING:
    from llmbase.v1.model_pb2_grpc import ModelServiceAsyncStub

# What a model must be able to do to pass a filter.
_FILTERS = {"agents": ("tools",)}
_SWITCH = {"true": True, "false": False}


class Models:
    """The handlers."""

    def __init__(self, stub: ModelServiceAsyncStub) -> None:
        self._stub = stub

    async def list(self, exchange: Exchange) -> WholeAnswer:
        """Return the models the caller may use. Raises HttpError."""
        features: tuple[str, ...] = ()
        if (wanted := exchange.query.get("filter")) is not None:
            if wanted not in _FILTERS:
                raise invalid_request(f"filter: must be one of {', '.join(_FILTERS)}", "filter")
            features = _FILTERS[wanted]
        detailed = _detailed(exchange)
        asked = pb.ListModelsRequest(required_features=features)
        answer = await self._ask(self._stub.ListModels, asked, exchange)
        models = [model_to_json(model, detailed=detailed) for model in answer.models]
        return WholeAnswer(exchange, orjson.dumps({"object": "list", "data": models}))

    async def get(self, exchange: Exchange) -> WholeAnswer:
        """Return one model; its id is the rest of the path, slashes and all. Raises HttpError."""
        detailed = _detailed(exchange)
        asked = pb.GetModelRequest(id=exchange.rest)
        answer = await self._ask(self._stub.GetModel, asked, exchange)
        return WholeAnswer(exchange, orjson.dumps(model_to_json(answer.model, detailed=detailed)))

    async def _ask(self, method: Any, asked: Any, exchange: Exchange) -> Any:
        call = method(asked, metadata=metadata(exchange), timeout=timeout(exchange))
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None
        finally:
            call.cancel()


def model_to_json(model: pb.Model, *, detailed: bool) -> dict[str, Any]:
    """Return OpenAI's model object; `detailed` adds the metadata. Prices are decimal strings."""
    body: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
    }
    if detailed:
        body |= {
            "name": model.name or model.id,
            "description": model.description,
            "context_length": model.context_length if model.HasField("context_length") else None,
            "max_output_length": (
                model.max_output_length if model.HasField("max_output_length") else None
            ),
            "input_modalities": list(model.input_modalities),
            "output_modalities": list(model.output_modalities),
            "supported_features": list(model.supported_features),
            "supported_parameters": list(model.supported_parameters),
            "pricing": _pricing(model.pricing) if model.HasField("pricing") else None,
            "prompt_cache_supported": model.prompt_cache_supported,
        }
    return body


def _pricing(pricing: pb.Pricing) -> dict[str, str]:
    return {
        "prompt": pricing.prompt,
        "completion": pricing.completion,
        "input_cache_read": pricing.input_cache_read or pricing.prompt,
    }


def _detailed(exchange: Exchange) -> bool:
    given = exchange.query.get("metadata", "false")
    if given not in _SWITCH:
        raise invalid_request("metadata: must be true or false", "metadata")
    return _SWITCH[given]
