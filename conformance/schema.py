"""OpenAI's own description of what it answers, to hold answers against."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = ("openapi", "chat-completions.wire.schema.json")


@cache
def validator(shared: Path, root: str) -> jsonschema.Draft202012Validator:
    """A validator of a `root` (response, chunk, error, models, model). Raises OSError."""
    schema = json.loads(shared.joinpath(*SCHEMA).read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema | {"$ref": schema["x-roots"][root]})


class Schema:
    """Says what is wrong with documents; remembers what was right, as streams repeat themselves."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self._valid: set[tuple[str, str]] = set()

    def problem(self, root: str, document: Any) -> str | None:
        """Return what of the document is not as `root` is described, None if all is."""
        seen = (root, _without_origin(document))
        if seen in self._valid:
            return None
        fault = jsonschema.exceptions.best_match(
            validator(self._shared, root).iter_errors(document)
        )
        if fault is None:
            self._valid.add(seen)
            return None
        return f"{root}: {fault.json_path}: {fault.message[:160]}"


def _without_origin(document: Any) -> str:
    """The document as text, with only the types of what is made anew for each answer."""
    if isinstance(document, dict):
        made = {key: type(document[key]).__name__ for key in ("id", "created") if key in document}
        document = document | made
    return json.dumps(document, sort_keys=True)
