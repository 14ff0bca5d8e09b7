"""Requests to start from, and the way into a message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from gateway.transcoding.fields import BadField
from gateway.transcoding.request import request_from_json

USER = {"role": "user", "content": "Hi"}


def read(body: Any) -> pb.ChatCompletionRequest:
    return request_from_json(json.dumps(body).encode())[0]


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], **fields}


def say(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{**USER, **fields}]}


def refusal(body: Any) -> BadField:
    with pytest.raises(BadField) as caught:
        request_from_json(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value
