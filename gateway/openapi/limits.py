"""What the service asks of a request beyond types, as the description says it. Pure.

The service's own rules decide (`service/rpc/validation.py`, which the gateway may not import): this
is what can be said of them in a JSON Schema, and a test holds both together. Rules between fields
are left to the error's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Keys that must be there, by the place of their object.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "": ("model", "messages"),
    "messages[].": ("role",),
    "messages[].content[].image_url.": ("url",),
    "messages[].tool_calls[].": ("id",),
    "messages[].tool_calls[].function.": ("name",),
    "response_format.json_schema.": ("name",),
    "tools[].function.": ("name",),
}

# Keywords by the path of the field.
LIMITS: Mapping[str, Mapping[str, Any]] = {
    "model": {"minLength": 1},
    "messages": {"minItems": 1},
    "temperature": {"minimum": 0, "maximum": 2},
    "top_p": {"minimum": 0, "maximum": 1},
    "max_tokens": {"minimum": 1},
    "max_completion_tokens": {"minimum": 1},
    "frequency_penalty": {"minimum": -2, "maximum": 2},
    "presence_penalty": {"minimum": -2, "maximum": 2},
    "stop": {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 4},
        ]
    },
    "top_logprobs": {"minimum": 0, "maximum": 20},
    "n": {"minimum": 1, "maximum": 8},
    "logit_bias": {
        "propertyNames": {"pattern": "^[0-9]{1,10}$"},
        "additionalProperties": {"type": "integer", "minimum": -100, "maximum": 100},
    },
    "metadata": {
        "maxProperties": 16,
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512},
    },
    "tools": {"maxItems": 128},
    "tools[].function.name": {"pattern": "^[A-Za-z0-9_.:-]{1,64}$"},
    "response_format.json_schema.name": {"pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "messages[].content[].image_url.detail": {"enum": ["auto", "low", "high"]},
    "messages[].tool_calls[].id": {"minLength": 1},
    "messages[].tool_calls[].function.name": {"minLength": 1},
}
