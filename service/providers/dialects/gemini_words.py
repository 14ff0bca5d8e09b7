"""Gemini's words for why an answer ended, or why there is none, and what they are to the caller.

The Developer API and Vertex AI number the same words differently, so each has its own table. The
words and numbers are those of `Candidate.FinishReason` and `PromptFeedback.BlockReason` in
google.ai.generativelanguage.v1beta and google.cloud.aiplatform.v1.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmbase.v1 import chat_completion_pb2 as pb

_STOP = pb.FINISH_REASON_STOP
_LENGTH = pb.FINISH_REASON_LENGTH
_FILTER = pb.FINISH_REASON_CONTENT_FILTER

REASONS: Mapping[str, pb.FinishReason.ValueType] = {
    "STOP": _STOP,
    "OTHER": _STOP,
    # Of a picture, which nobody asks for here: what text there is stands.
    "NO_IMAGE": _STOP,
    "IMAGE_OTHER": _STOP,
    "MAX_TOKENS": _LENGTH,
    "CONTINUATION": _LENGTH,
    "SAFETY": _FILTER,
    "RECITATION": _FILTER,
    "LANGUAGE": _FILTER,
    "BLOCKLIST": _FILTER,
    "PROHIBITED_CONTENT": _FILTER,
    "SPII": _FILTER,
    "MODEL_ARMOR": _FILTER,
    "ESCALATION": _FILTER,
    "IMAGE_SAFETY": _FILTER,
    "IMAGE_PROHIBITED_CONTENT": _FILTER,
    "IMAGE_RECITATION": _FILTER,
}
# The model or the provider broke down: what has come is no answer, and a stop would hide it.
BROKEN_OFF = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
        "PUP_LIMITED_DISABLED",
    }
)
# Proto's zero: the same as no word at all.
_NOT_SET = frozenset(
    {"FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"}
)

_SHARED = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
_FINISH_DEVELOPER = _SHARED | {
    6: "LANGUAGE",
    7: "BLOCKLIST",
    8: "PROHIBITED_CONTENT",
    9: "SPII",
    10: "MALFORMED_FUNCTION_CALL",
    11: "IMAGE_SAFETY",
    12: "UNEXPECTED_TOOL_CALL",
    13: "TOO_MANY_TOOL_CALLS",
    14: "IMAGE_PROHIBITED_CONTENT",
    15: "IMAGE_OTHER",
    16: "NO_IMAGE",
    17: "IMAGE_RECITATION",
}
_FINISH_VERTEX = _SHARED | {
    6: "BLOCKLIST",
    7: "PROHIBITED_CONTENT",
    8: "SPII",
    9: "MALFORMED_FUNCTION_CALL",
    10: "MODEL_ARMOR",
    11: "IMAGE_SAFETY",
    12: "IMAGE_PROHIBITED_CONTENT",
    13: "IMAGE_RECITATION",
    14: "IMAGE_OTHER",
    15: "UNEXPECTED_TOOL_CALL",
    16: "NO_IMAGE",
}
_BLOCK_SHARED = {1: "SAFETY", 2: "OTHER", 3: "BLOCKLIST", 4: "PROHIBITED_CONTENT"}
_BLOCK_DEVELOPER = _BLOCK_SHARED | {5: "IMAGE_SAFETY"}
_BLOCK_VERTEX = _BLOCK_SHARED | {5: "MODEL_ARMOR", 6: "JAILBREAK"}
_KNOWN = frozenset([*REASONS, *_BLOCK_DEVELOPER.values(), *_BLOCK_VERTEX.values()])


def knows(native: str) -> bool:
    """Whether a word for an answer's end, or for a blocked prompt, is one that is documented."""
    return native in _KNOWN


def finish_word(value: str | int | None, *, vertex: bool) -> str:
    """Return the word for a finish reason; "" for none, the number itself where it is unknown."""
    return _word(value, _FINISH_VERTEX if vertex else _FINISH_DEVELOPER)


def block_word(value: str | int | None, *, vertex: bool) -> str:
    """Return the word for a block reason; "" for none, the number itself where it is unknown."""
    return _word(value, _BLOCK_VERTEX if vertex else _BLOCK_DEVELOPER)


def _word(value: str | int | None, numbers: Mapping[int, str]) -> str:
    if isinstance(value, int):
        return numbers.get(value, str(value)) if value else ""
    return "" if value is None or value in _NOT_SET else value
