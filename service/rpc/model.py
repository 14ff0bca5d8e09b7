"""ModelService: what can be asked, and what it can do."""

from __future__ import annotations

from llmbase.v1.model_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    Model,
    Pricing,
)
from llmbase.v1.model_pb2_grpc import ModelServiceServicer

from service.config import ModelConfig
from service.errors import ModelNotFound
from service.rpc.calls import Calls, Context

# What every dialect passes on; the rest comes with the features and the configuration.
_USUAL_PARAMETERS = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "seed",
    "stream",
    "stream_options",
)
_FEATURE_PARAMETERS = {
    "tools": ("tools", "tool_choice", "parallel_tool_calls"),
    "json_mode": ("response_format",),
    "structured_outputs": ("response_format",),
    "logprobs": ("logprobs", "top_logprobs"),
}


class ModelServicer(ModelServiceServicer):
    """Lists the configured models; to anyone, where they are public."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def ListModels(  # noqa: N802 - gRPC's name
        self, request: ListModelsRequest, context: Context
    ) -> ListModelsResponse:
        """Return the models the caller may use, ordered by id."""
        try:
            generation, caller = await self._calls.visit(context)
            models = sorted(generation.router.models().items())
            response = ListModelsResponse(
                models=[
                    _to_proto(model_id, model)
                    for model_id, model in models
                    if set(request.required_features) <= set(model.supported_features)
                    and (caller is None or caller.may_use(model_id))
                ]
            )
            self._calls.count("ListModels", "OK")
            return response
        except Exception as error:
            await self._calls.abort(context, error, "ListModels", None)

    async def GetModel(  # noqa: N802 - gRPC's name
        self, request: GetModelRequest, context: Context
    ) -> GetModelResponse:
        """Return one model; a model the key may not use is not found."""
        try:
            generation, caller = await self._calls.visit(context)
            model = generation.router.model(request.id)
            if caller is not None and not caller.may_use(request.id):
                raise ModelNotFound(f"Model not found: {request.id}")
            response = GetModelResponse(model=_to_proto(request.id, model))
            self._calls.count("GetModel", "OK")
            return response
        except Exception as error:
            await self._calls.abort(context, error, "GetModel", None)


def _to_proto(model_id: str, model: ModelConfig) -> Model:
    parameters = list(_USUAL_PARAMETERS)
    for feature in model.supported_features:
        parameters += _FEATURE_PARAMETERS.get(feature, ())
    parameters += model.supported_parameters
    owner, slash, _ = model_id.partition("/")
    return Model(
        id=model_id,
        created=model.created,
        owned_by=owner if slash else "llmbase",
        name=model.name or model_id,
        description=model.description,
        context_length=model.context_length,
        max_output_length=model.max_output_length,
        input_modalities=model.input_modalities,
        output_modalities=["text"],
        supported_features=model.supported_features,
        supported_parameters=dict.fromkeys(parameters),
        pricing=Pricing(
            prompt=model.pricing.prompt,
            completion=model.pricing.completion,
            input_cache_read=model.pricing.input_cache_read or "",
        )
        if model.pricing
        else None,
        prompt_cache_supported=model.prompt_cache_supported,
    )
