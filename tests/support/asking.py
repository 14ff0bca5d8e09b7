"""The plain requests that tests start from."""

from __future__ import annotations

from typing import Any

HELLO = [{"role": "user", "content": "Hello"}]


def hello(model: str = "test/one", *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """The body of a request that any model can answer."""
    return {"model": model, "messages": HELLO, "stream": stream} | fields
