"""The models, as OpenAI's list and object and with what llmbase knows besides."""

from __future__ import annotations

import pytest
from llmbase.v1 import model_pb2 as pb
from yarl import URL

from tests.support.openai_schema import check
from tests.unit.gateway.scripted_service import Gateway

FULL = pb.Model(
    id="zai-org/glm-5",
    created=7,
    owned_by="zai-org",
    name="GLM 5",
    description="Good.",
    context_length=131072,
    max_output_length=32768,
    input_modalities=["text", "image"],
    output_modalities=["text"],
    supported_features=["tools"],
    supported_parameters=["temperature"],
    pricing=pb.Pricing(prompt="0.000001", completion="0.0000032", input_cache_read="0.0000002"),
    prompt_cache_supported=True,
)
BARE = pb.Model(id="a b/ü?", created=8, owned_by="llmbase")


@pytest.fixture
def models(gateway: Gateway) -> Gateway:
    gateway.service.models = [FULL, BARE]
    return gateway


async def test_the_list_is_openais(models: Gateway) -> None:
    reply = await models.request("GET", "/v1/models")

    check("models", reply.json)
    assert reply.status == 200
    assert reply.json == {
        "object": "list",
        "data": [
            {"id": "zai-org/glm-5", "object": "model", "created": 7, "owned_by": "zai-org"},
            {"id": "a b/ü?", "object": "model", "created": 8, "owned_by": "llmbase"},
        ],
    }


async def test_the_service_is_told_who_asks(models: Gateway) -> None:
    headers = {"Authorization": "Bearer key", "X-Request-Id": "id-1"}

    reply = await models.request("GET", "/v1/models", headers=headers)

    metadata = models.service.calls[-1].metadata
    assert (metadata["authorization"], metadata["x-request-id"]) == ("Bearer key", "id-1")
    assert reply.headers["x-request-id"] == "id-1"


async def test_metadata_is_added_on_request_with_prices_as_decimal_strings(
    models: Gateway,
) -> None:
    full, bare = (await models.request("GET", "/v1/models?metadata=true")).json["data"]

    assert full == {
        "id": "zai-org/glm-5",
        "object": "model",
        "created": 7,
        "owned_by": "zai-org",
        "name": "GLM 5",
        "description": "Good.",
        "context_length": 131072,
        "max_output_length": 32768,
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
        "supported_features": ["tools"],
        "supported_parameters": ["temperature"],
        "pricing": {
            "prompt": "0.000001",
            "completion": "0.0000032",
            "input_cache_read": "0.0000002",
        },
        "prompt_cache_supported": True,
    }
    assert set(bare) == set(full)
    assert bare["name"] == bare["id"]
    assert [bare[key] for key in ("context_length", "max_output_length", "pricing")] == [None] * 3


async def test_a_cached_token_without_a_price_of_its_own_costs_what_a_prompt_token_does(
    models: Gateway,
) -> None:
    models.service.models = [pb.Model(id="m", pricing=pb.Pricing(prompt="0.5", completion="1"))]

    (model,) = (await models.request("GET", "/v1/models?metadata=true")).json["data"]

    assert model["pricing"] == {"prompt": "0.5", "completion": "1", "input_cache_read": "0.5"}


async def test_agents_are_the_models_with_tools(models: Gateway) -> None:
    reply = await models.request("GET", "/v1/models?filter=agents&metadata=true")

    assert reply.status == 200
    assert list(models.service.calls[-1].request.required_features) == ["tools"]


@pytest.mark.parametrize(
    ("query", "param"),
    [("filter=robots", "filter"), ("filter=", "filter"), ("metadata=yes", "metadata")],
)
async def test_another_query_is_refused(query: str, param: str, models: Gateway) -> None:
    reply = await models.request("GET", f"/v1/models?{query}")

    assert (reply.status, reply.error["param"]) == (400, param)
    assert not models.service.calls


async def test_without_metadata_there_is_none(models: Gateway) -> None:
    for query in ("", "?metadata=false", "?other=1"):
        reply = await models.request("GET", f"/v1/models/zai-org/glm-5{query}")
        assert set(reply.json) == {"id", "object", "created", "owned_by"}


@pytest.mark.parametrize(
    ("path", "id_"),
    [
        ("zai-org/glm-5", "zai-org/glm-5"),
        ("zai-org%2Fglm-5", "zai-org/glm-5"),
        ("zai-org%2fglm-5?metadata=true", "zai-org/glm-5"),
        ("a%20b%2F%C3%BC%3F", "a b/ü?"),
    ],
)
async def test_one_model_is_found_by_its_id_encoded_or_not(
    path: str, id_: str, models: Gateway
) -> None:
    url = URL(f"{models.door.url}/v1/models/{path}", encoded=True)
    reply = await models.request("GET", url)

    check("model", reply.json)
    assert reply.json["id"] == id_


@pytest.mark.parametrize("path", ["nobody", "%ED%A0%80", "%FF", "..%2f..", "%00", "a%"])
async def test_a_model_that_is_not_there_is_a_404(path: str, models: Gateway) -> None:
    url = URL(f"{models.door.url}/v1/models/{path}", encoded=True)
    reply = await models.request("GET", url)

    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


async def test_a_service_without_models_to_tell_of_is_our_fault(models: Gateway) -> None:
    del models.service.models  # its handler fails

    reply = await models.request("GET", "/v1/models")

    assert (reply.status, reply.error["code"]) == (500, "internal_error")
