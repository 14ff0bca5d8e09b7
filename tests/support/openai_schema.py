"""OpenAI's own description of what it answers, to hold our answers against."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from tests.support.rest_form import DONE, Reply
from tests.support.shared import shared_json


def check_answer(reply: Reply) -> None:
    """Raise ValidationError unless every document in the answer is what OpenAI describes."""
    if reply.status != 200:
        check("error", reply.json)
    elif reply.headers["Content-Type"].startswith("application/json"):
        check("response", reply.json)
    else:
        for data in reply.events:
            if data != DONE:
                document = json.loads(data)
                check("error" if "error" in document else "chunk", document)


def check(root: str, document: Any) -> None:
    """Raise ValidationError unless `document` is a `root` (response, chunk, error, models, model).

    Skips the test (or fails it) where the description is missing.
    """
    _validator(root).validate(document)


@cache
def _validator(root: str) -> jsonschema.Draft202012Validator:
    schema = shared_json("openapi", "chat-completions.wire.schema.json")
    return jsonschema.Draft202012Validator(schema | {"$ref": schema["x-roots"][root]})
