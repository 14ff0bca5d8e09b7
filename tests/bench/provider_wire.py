"""The provider's bytes: whole answers, and frames of streamed ones, made of three parts."""

from __future__ import annotations

import orjson

from tests.bench.questions import UPSTREAM_MODEL, Question

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
_COMMON = {"created": 1_790_000_000, "model": UPSTREAM_MODEL, "system_fingerprint": "fp_44709d6fcb"}
_NO = b'{"error":{"message":"no question","type":"invalid"}}'
REFUSAL = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_NO), _NO)
)


def whole(question: Question) -> bytes:
    """An answer in one body."""
    content = orjson.dumps(
        {
            "id": f"chatcmpl-{question.number:024d}",
            "object": "chat.completion",
            **_COMMON,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": question.whole()},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": question.usage,
        }
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(content) + content


class Frames:
    """A streamed answer's frames: HTTP chunks of one event of about 320 bytes each."""

    def __init__(self, question: Question) -> None:
        self._question = question
        event = self._event(
            [{"index": 0, "delta": {"content": "@@"}, "logprobs": None, "finish_reason": None}]
        )
        self._before, self._after = _framed(event, grown=len(question.piece(0)) - 2).split(b"@@")

    def first(self) -> bytes:
        """The headers, and the event that says the role."""
        role = {"role": "assistant", "content": "", "refusal": None}
        choice = {"index": 0, "delta": role, "logprobs": None, "finish_reason": None}
        return _HEAD + _framed(self._event([choice]))

    def piece(self, place: int) -> bytes:
        """One piece of the text."""
        return self._before + self._question.piece(place).encode() + self._after

    def last(self) -> bytes:
        """The finish reason, the usage, `[DONE]`, and the end of the body."""
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
        usage = self._event([], usage=self._question.usage)
        done = _framed(b"data: [DONE]\n\n")
        return _framed(self._event([choice])) + _framed(usage) + done + b"0\r\n\r\n"

    def _event(self, choices: list[object], usage: object = None) -> bytes:
        body = {
            "id": f"chatcmpl-{self._question.number:024d}",
            "object": "chat.completion.chunk",
            **_COMMON,
            "service_tier": "default",
            "choices": choices,
            "usage": usage,
            "obfuscation": "Qm9keUxhbmd1YWdl",
        }
        return b"data: " + orjson.dumps(body) + b"\n\n"


def _framed(event: bytes, grown: int = 0) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event) + grown, event)
