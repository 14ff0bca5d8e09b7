"""What `llmbase up` serves without a configuration: the embedded model, behind one key."""

from __future__ import annotations

import hashlib
import secrets

from service.config import Config

MODEL = "smollm2-135m-instruct"
MODEL_ID = f"local/{MODEL}"


def new_key() -> str:
    """Return a fresh API key: `llmbase_` and 43 random characters (256 bits)."""
    return f"llmbase_{secrets.token_urlsafe(32)}"


def default_config(key: str) -> Config:
    """Return the built-in configuration, open to the holder of `key`."""
    return Config.model_validate(
        {
            "providers": {"local": {"dialect": "embedded", "model": MODEL}},
            "models": {
                MODEL_ID: {
                    "targets": [{"provider": "local", "model": MODEL}],
                    "name": "SmolLM2 135M Instruct",
                    "description": "A very small model inside llmbase, for trying it out.",
                    "context_length": 2048,
                    "max_output_length": 1024,
                    "supported_features": ["json_mode", "structured_outputs", "logprobs"],
                    "prompt_cache_supported": True,
                }
            },
            "keys": [{"name": "default", "sha256": hashlib.sha256(key.encode()).hexdigest()}],
        }
    )
