"""The configuration the tests run with: models, and providers that are all one upstream."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.support.scripted_upstream import ScriptedUpstream

KEY = "llmbase_test-key-that-may-use-everything-0123456789"
NARROW_KEY = "llmbase_test-key-for-one-family-of-models-0123456789"
PROVIDER_KEY = "provider-secret-0123456789"
REFUSING_PORT = 1  # nothing listens there

FEATURES = ["tools", "json_mode", "structured_outputs", "reasoning", "logprobs"]

# Public id → targets as (provider, the provider's own model name).
TARGETS: dict[str, list[tuple[str, str | None]]] = {
    "zai-org/glm-5": [("alpha", "glm-5")],
    "test/one": [("alpha", "one")],
    "test/two": [("alpha", "first"), ("beta", "second")],
    "test/three": [("alpha", "first"), ("beta", "second"), ("gamma", "third")],
    "test/dead": [("dead", "dead")],
    "test/dead-first": [("dead", "first"), ("beta", "second")],
    "test/narrow": [("narrow", "narrow")],
    "test/brisk": [("brisk", "brisk")],
    "test/brisk-first": [("brisk", "first"), ("beta", "second")],
    "test/hasty": [("hasty", "hasty")],
    "test/hasty-first": [("hasty", "first"), ("beta", "second")],
    "test/gone": [("alpha", "gone")],
    "test/gone-able": [("alpha", "gone-able")],
    "test/understudy": [("beta", "understudy")],
    "wild/*": [("alpha", None)],
}


def key_entry(name: str, key: str, models: list[str]) -> dict[str, Any]:
    """A static key as the configuration knows it: by its hash."""
    return {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "models": models}


def provider(base_url: str, **timeouts: str) -> dict[str, Any]:
    """An OpenAI-compatible provider; limits that are not given are too long to matter.

    Its breaker is off: what one test breaks is not to be passed over in the next.
    """
    limits = {"connect": "5s", "idle": "30s", "total": "60s"} | timeouts
    return {
        "dialect": "openai",
        "base_url": base_url,
        "api_key": PROVIDER_KEY,
        "timeouts": limits,
        "breaker": {"enabled": False},
    }


def model(*targets: tuple[str, str | None], **settings: Any) -> dict[str, Any]:
    """A model that can do everything, unless `settings` say otherwise."""
    able = {
        "input_modalities": ["text", "image"],
        "supported_features": FEATURES,
        "supported_parameters": ["reasoning_effort"],
    }
    entries = [
        {"provider": name} | ({"model": own} if own is not None else {}) for name, own in targets
    ]
    return {"targets": entries} | able | settings


def standard(upstream: ScriptedUpstream, **server: Any) -> dict[str, Any]:
    """The configuration of the processes that most tests share."""
    providers = {name: provider(upstream.url(f"/{name}")) for name in ("alpha", "beta", "gamma")}
    providers["dead"] = provider(f"http://127.0.0.1:{REFUSING_PORT}/v1")
    providers["brisk"] = provider(upstream.url("/brisk"), first_content="400ms", idle="400ms")
    providers["narrow"] = provider(upstream.url("/narrow")) | {"max_answer_bytes": 4096}
    providers["hasty"] = provider(upstream.url("/hasty"), total="500ms")
    models = {name: model(*targets) for name, targets in TARGETS.items()}
    models["test/plain"] = model(
        ("alpha", "plain"),
        input_modalities=["text"],
        supported_features=[],
        supported_parameters=[],
    )
    models["test/json"] = model(("alpha", "json"), supported_features=["json_mode"])
    models["test/gone"]["fallbacks"] = ["test/understudy"]
    models["test/gone-able"]["fallbacks"] = ["test/plain"]
    models["zai-org/glm-5"] |= {
        "name": "GLM 5",
        "description": "A model for tests.",
        "created": 1_741_000_000,
        "context_length": 131_072,
        "max_output_length": 32_768,
        "pricing": {"prompt": "0.000001", "completion": "0.0000032"},
    }
    keys = [key_entry("all", KEY, ["*"]), key_entry("narrow", NARROW_KEY, ["zai-org/*"])]
    return {
        "server": {"grpc": "127.0.0.1:0", "drain": "5s"} | server,
        "store": None,  # those tests that are about accounts have one
        "providers": providers,
        "models": models,
        "keys": keys,
    }


def chained(inner: str, upstream: ScriptedUpstream, **timeouts: str) -> dict[str, Any]:
    """The configuration of an outer product: its models are those of one at the gRPC URL `inner`.

    `near` is a provider of its own; `chain/...` are models that only the outer one has.
    """

    def far(key: str) -> dict[str, Any]:
        limits = {"connect": "5s", "idle": "30s", "total": "60s"} | timeouts
        return {
            "dialect": "llmbase",
            "base_url": inner,
            "api_key": key,
            "timeouts": limits,
            "breaker": {"enabled": False},
        }

    providers = {
        "far": far(KEY),
        "stranger": far("llmbase_a-key-that-nobody-knows-0123456789"),
        "narrow": far(NARROW_KEY),
        "near": provider(upstream.url("/near")),
    }
    models = {name: model(("far", name)) for name in TARGETS if not name.endswith("*")}
    models["test/plain"] = model(("far", "test/plain"))
    for name, target in {
        "one": ("far", "test/one"),
        "dead": ("far", "test/dead"),
        "hasty": ("far", "test/hasty"),
        "unknown": ("far", "no/such"),
        "stranger": ("stranger", "test/one"),
        "narrow": ("narrow", "test/one"),
    }.items():
        models[f"chain/{name}"] = model(target)
        models[f"chain/{name}-first"] = model(target, ("near", "near"))
    return {
        "server": {"grpc": "127.0.0.1:0", "drain": "5s"},
        "store": None,
        "providers": providers,
        "models": models,
        "keys": [key_entry("all", KEY, ["*"])],
    }


def write(config: dict[str, Any], directory: Path) -> Path:
    """Write the configuration to a file (JSON is YAML) and return its path."""
    path = directory / "llmbase.yaml"
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return path
