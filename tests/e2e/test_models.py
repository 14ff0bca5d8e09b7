"""What models there are, through both doors."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from llmbase.v1 import model_pb2 as pb

from tests.support import config, deployments, failures
from tests.support.config import KEY, NARROW_KEY
from tests.support.deployments import Deployment
from tests.support.grpc_door import GrpcDoor
from tests.support.rest_door import RestDoor
from tests.support.scripted_upstream import ScriptedUpstream


async def test_the_list_is_openais(any_rest_door: RestDoor) -> None:
    reply = await any_rest_door.get("/v1/models")

    assert reply.status == 200
    assert reply.json["object"] == "list"
    ids = [model["id"] for model in reply.json["data"]]
    assert ids == sorted(ids)
    assert {"zai-org/glm-5", "test/one", "test/plain"} <= set(ids)
    glm = next(model for model in reply.json["data"] if model["id"] == "zai-org/glm-5")
    assert glm == {
        "id": "zai-org/glm-5",
        "object": "model",
        "created": 1_741_000_000,
        "owned_by": "zai-org",
    }


@pytest.mark.parametrize("path", ["/v1/models/zai-org/glm-5", "/v1/models/zai-org%2Fglm-5"])
async def test_one_model_is_found_by_its_id_with_its_slash(
    path: str, any_rest_door: RestDoor
) -> None:
    reply = await any_rest_door.get(path)

    assert reply.status == 200
    assert (reply.json["id"], reply.json["object"]) == ("zai-org/glm-5", "model")


async def test_metadata_is_given_when_asked_for(any_rest_door: RestDoor) -> None:
    reply = await any_rest_door.get("/v1/models?metadata=true")

    models = {model["id"]: model for model in reply.json["data"]}
    glm = models["zai-org/glm-5"]
    assert glm["name"] == "GLM 5"
    assert glm["description"] == "A model for tests."
    assert (glm["context_length"], glm["max_output_length"]) == (131_072, 32_768)
    assert (glm["input_modalities"], glm["output_modalities"]) == (["text", "image"], ["text"])
    assert set(glm["supported_features"]) == set(config.FEATURES)
    assert {"temperature", "tools", "reasoning_effort"} <= set(glm["supported_parameters"])
    assert (glm["pricing"]["prompt"], glm["pricing"]["completion"]) == ("0.000001", "0.0000032")
    assert glm["prompt_cache_supported"] is False
    assert models["test/plain"]["supported_features"] == []
    one = (await any_rest_door.get("/v1/models/zai-org/glm-5?metadata=true")).json
    assert one == glm


async def test_agents_get_only_models_with_tools(any_rest_door: RestDoor) -> None:
    everything = await any_rest_door.get("/v1/models?metadata=true")
    reply = await any_rest_door.get("/v1/models?filter=agents&metadata=true")

    able = [m["id"] for m in everything.json["data"] if "tools" in m["supported_features"]]
    assert [model["id"] for model in reply.json["data"]] == able
    assert "test/plain" not in able


async def test_both_doors_list_the_same_models(rest_door: RestDoor, grpc_door: GrpcDoor) -> None:
    over_rest = (await rest_door.get("/v1/models?metadata=true")).json["data"]
    metadata = grpc_door.metadata()

    response = await grpc_door.models.ListModels(pb.ListModelsRequest(), metadata=metadata)

    for model, written in zip(response.models, over_rest, strict=True):
        assert (model.id, model.created, model.owned_by, model.name) == (
            written["id"],
            written["created"],
            written["owned_by"],
            written["name"],
        )
        assert list(model.supported_features) == written["supported_features"]
        assert list(model.supported_parameters) == written["supported_parameters"]
        found = await grpc_door.models.GetModel(pb.GetModelRequest(id=model.id), metadata=metadata)
        assert found.model == model


async def test_grpc_lists_models_by_the_features_they_must_have(grpc_door: GrpcDoor) -> None:
    request = pb.ListModelsRequest(required_features=["json_mode", "tools"])

    response = await grpc_door.models.ListModels(request, metadata=grpc_door.metadata())

    ids = [model.id for model in response.models]
    assert "zai-org/glm-5" in ids
    assert "test/json" not in ids and "test/plain" not in ids


async def test_an_unknown_model_is_not_found(any_rest_door: RestDoor) -> None:
    reply = await any_rest_door.get("/v1/models/unknown/model")

    failure = reply.failure
    assert (failure.status, failure.type, failure.code, failure.message) == (
        404,
        "invalid_request_error",
        "model_not_found",
        "Model not found: unknown/model",
    )


async def test_grpc_says_not_found_as_rest_does(rest_door: RestDoor, grpc_door: GrpcDoor) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await grpc_door.models.GetModel(
            pb.GetModelRequest(id="unknown/model"), metadata=grpc_door.metadata()
        )

    reply = await rest_door.get("/v1/models/unknown/model")
    assert failures.from_rpc_error(error.value) == reply.failure


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/zai-org/glm-5"])
async def test_a_key_is_needed(path: str, one_process: Deployment) -> None:
    async with RestDoor(one_process.http, None) as door:
        reply = await door.get(path)

    assert (reply.status, reply.failure.code) == (401, "missing_api_key")


async def test_a_key_for_some_models_sees_only_those(one_process: Deployment) -> None:
    async with RestDoor(one_process.http, NARROW_KEY) as door:
        listed = await door.get("/v1/models")
        hidden = await door.get("/v1/models/test/one")

    assert [model["id"] for model in listed.json["data"]] == ["zai-org/glm-5"]
    assert hidden.status == 404


async def test_the_list_can_be_opened_to_everyone(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    opened = config.standard(upstream, public_models=True)
    with deployments.one_process(upstream, tmp_path, opened) as deployment:
        async with RestDoor(deployment.http, None) as door:
            listed = await door.get("/v1/models")
            one = await door.get("/v1/models/test/one")
            chat = await door.send(b'{"model":"test/one","messages":[]}')

    assert listed.status == 200 and one.status == 200
    assert chat.status in (400, 401)
    assert KEY not in deployment.log
