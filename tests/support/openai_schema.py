"""OpenAI's own description of what it answers, to hold our answers against."""

from __future__ import annotations

import json
from typing import Any

from conformance.schema import SCHEMA, validator
from tests.support.rest_form import DONE, Reply
from tests.support.shared import require_shared, shared_path


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
    require_shared(*SCHEMA)
    validator(shared_path(), root).validate(document)
