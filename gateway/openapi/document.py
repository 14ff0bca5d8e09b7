"""The description of the REST door as a document: OpenAPI 3.1, from the tables that serve. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.openapi.answers import answer_schemas
from gateway.openapi.operations import paths
from gateway.openapi.request import request_schemas


def document() -> dict[str, Any]:
    """Return the OpenAPI document. Its version is that of the API, as in `/v1`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "llmbase",
            "version": "v1",
            "summary": "An OpenAI-compatible REST API in front of many providers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**request_schemas(), **answer_schemas()},
        },
    }


def pretty() -> bytes:
    """Return the document as the file docs/openapi.json has it."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
