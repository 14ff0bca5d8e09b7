"""What `llmbase up` serves without a configuration: the embedded model, behind one key."""

from __future__ import annotations

import hashlib
import secrets

from service.config import Config
from service.providers.model_store import DEFAULT_MODEL

MODEL_ID = f"local/{DEFAULT_MODEL}"


def new_key() -> str:
    """Return a fresh API key: `llmbase_` and 43 random characters (256 bits)."""
    return f"llmbase_{secrets.token_urlsafe(32)}"


def default_config(key: str) -> Config:
    """Return the built-in configuration, open to the holder of `key`."""
    return Config.model_validate(
        {
            "providers": {"local": {"dialect": "embedded", "model": DEFAULT_MODEL}},
            "models": {
                MODEL_ID: {
                    "targets": [{"provider": "local", "model": DEFAULT_MODEL}],
                    "name": "SmolLM2 135M Instruct",
                    "description": "A very small model inside llmbase, for trying it out.",
                    "context_length": 2048,
                    "max_output_length": 1024,
                    "supported_features": ["json_mode", "structured_outputs", "logprobs"],
                    "prompt_cache_supported": True,
                }
            },
            "keys": [
                {
                    "name": "default",
                    "sha256": hashlib.sha256(key.encode()).hexdigest(),
                    "admin": True,  # so that accounts and keys can be tried, too
                }
            ],
        }
    )
