"""OpenAI's endpoints that are not here, so that a 404 can say so by name."""

from __future__ import annotations

# Paths of api.openai.com below which llmbase has nothing.
_UNSUPPORTED = (
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/images",
    "/v1/audio",
    "/v1/videos",
    "/v1/files",
    "/v1/uploads",
    "/v1/batches",
    "/v1/fine_tuning",
    "/v1/realtime",
    "/v1/assistants",
    "/v1/threads",
    "/v1/vector_stores",
    "/v1/conversations",
    "/v1/evals",
    "/v1/containers",
    "/v1/organization",
)
_SHOWN = 200


def unknown_path(method: str, path: str) -> str:
    """Return what a 404 says about a path that leads nowhere."""
    for known in _UNSUPPORTED:
        if path == known or path.startswith(known + "/"):
            return f"{known} is one of OpenAI's endpoints that llmbase does not support."
    return f"Unknown URL: {method} {path[:_SHOWN]}"
