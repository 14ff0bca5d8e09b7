"""The tools of a request: the same come with call after call, so what is found of them is kept.

They are known by all that they say. What is kept of them is text, never a request's own messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmbase.v1.chat_completion_pb2 import Tool
from orjson import Fragment

# So many sets are kept, each of at most so many tools and bytes, and of as many bytes written for a
# provider. A coding agent's tools have some 60 KB.
_KEPT, _MOST_TOOLS, _LARGEST = 64, 128, 64 * 1024


class KnownTools:
    """What is known of a request's tools, in characters and by their `names`.

    `checked` is whether they have been found to keep to every rule.
    """

    __slots__ = ("_written", "characters", "checked", "names")

    def __init__(self, tools: Sequence[Tool]) -> None:
        self.names = frozenset([tool.name for tool in tools])
        self.characters = sum(
            len(tool.name) + len(tool.description) + len(tool.parameters) for tool in tools
        )
        self.checked = False
        self._written: dict[object, Fragment] = {}

    def written(self, spelling: object) -> Fragment | None:
        """Return what has been written of them in a provider's spelling; None for nothing."""
        return self._written.get(spelling)

    def keep(self, spelling: object, text: bytes) -> Fragment:
        """Keep, and return, what they are in a spelling, which has to be hashable."""
        fragment = Fragment(text)
        if len(text) <= _LARGEST:
            self._written[spelling] = fragment
        return fragment


_known: dict[tuple[bytes, ...], KnownTools] = {}  # the last that came is the last


def known(tools: Sequence[Tool]) -> KnownTools:
    """Return what is known of the tools, from the last time or by a look at them."""
    if len(tools) <= _MOST_TOOLS:
        texts = tuple([tool.SerializeToString() for tool in tools])
        if sum(map(len, texts)) <= _LARGEST:
            found = _known.pop(texts, None) or KnownTools(tools)
            _known[texts] = found
            if len(_known) > _KEPT:
                del _known[next(iter(_known))]
            return found
    return KnownTools(tools)
