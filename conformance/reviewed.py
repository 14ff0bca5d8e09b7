"""Where what is noted beside a recording is a convention, and another reading has a reason.

Either reading passes; how often it was the other one is counted and printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_XAI = (
    "xAI counts reasoning beside the completion (its own total is the sum of all three); "
    "in OpenAI's terms reasoning is part of the completion"
)
_CITED = (
    "text that cites a source is put aside by the reader; streams send it as text like any other"
)
_ELSEWHERE = (
    "the provider made and answered the call by itself: there is nothing to do for a caller"
)
_NO_WORD = "the provider's word is a number, or one that OpenAI has no word for: a plain end"
_GATEWAYS_FAULT = (
    "the status blames the request, but the error's own code the gateway's key or place: "
    "it can be told as a fault of the gateway"
)


@dataclass(frozen=True)
class Reading:
    """The other reading: only what differs, in the words of the recordings' own notes."""

    reason: str
    usage: dict[str, int] = field(default_factory=dict)  # counts that differ
    text: str | None = None
    text_at: tuple[str | int, ...] = ()  # where in the body the text is, instead of the text
    calls: list[tuple[str, str]] | None = None  # name and arguments, which are JSON
    finish: str | None = None
    refused: bool = False  # the provider's words of refusal are there too
    error: bool | None = None  # whether it is one at all
    statuses: range | None = None  # that tell the error


def _completion(tokens: int) -> Reading:
    return Reading(_XAI, usage={"completion": tokens})


REVIEWED: dict[str, Reading] = {
    "gemini/unary_error-400_d86810": Reading(_GATEWAYS_FAULT, statuses=range(500, 600)),
    "gemini/unary_error-400_fa935b": Reading(_GATEWAYS_FAULT, statuses=range(500, 600)),
    "xai/stream_parallel-tools_reasoning_cache-read_225343": _completion(68 + 266),
    "xai/stream_reasoning_cache-read_non-ascii_1490b2": _completion(2 + 198),
    "xai/stream_tool-call_cache-read_5da7b6": _completion(44 + 257),
    "xai/stream_tool-call_reasoning_cache-read_a34465": _completion(44 + 373),
    "xai/stream_tool-result_reasoning_cache-read_2d81dd": _completion(12 + 38),
    "xai/unary_parallel-tools_cache-read_b303bc": _completion(68 + 148),
    "xai/unary_parallel-tools_reasoning_cache-read_473381": _completion(68 + 185),
    "xai/unary_reasoning_cache-read_non-ascii_ae92af": _completion(2 + 256),
    "xai/unary_tool-call_cache-read_d68ca5": _completion(82 + 320),
    "xai/unary_tool-call_reasoning_cache-read_cd802c": _completion(44 + 502),
    "xai/unary_tool-result_cache-read_non-ascii_ad6987": _completion(35 + 54),
    "moonshot/unary_reasoning_8738b8": Reading(
        "the cached tokens are there, under a name that the reader did not look for",
        usage={"cached": 10},
    ),
    "groq/stream_text_0c51aa": Reading(
        "the usage is in `x_groq` of the last chunk, where the reader did not look",
        usage={"prompt": 12, "completion": 26, "cached": 0, "reasoning": 0},
    ),
    "openai/unary_text_c1da15": Reading(
        "the one `function_call` of the old form is a tool call today",
        calls=[("get_current_weather", '{\n  "location": "Boston"\n}')],
    ),
    "anthropic/stream_error-midstream_length_f95fa1": Reading(
        "a gateway in between added `[DONE]` after `message_stop`; the reader calls that an error",
        error=False,
    ),
    "anthropic/unary_content-filter_ed8b9a": Reading(
        "the provider says in words why the model refused; the reader puts nothing there",
        refused=True,
    ),
    "bedrock/unary_document-in_e6b354": Reading(
        _CITED, text="Employees should consult with your manager for details."
    ),
    "bedrock/unary_tool-result_73203c": Reading(
        _CITED, text="Ruby was created by Yukihiro Matsumoto in 1993."
    ),
    "bedrock/unary_tool-call_non-ascii_02e35e": Reading(_ELSEWHERE, calls=[]),
    "bedrock/stream_parallel-tools_f109eb": Reading(
        _ELSEWHERE, calls=[("final_result", '{"result": 7006652.0}')]
    ),
    "ollama/unary_text_55cfd7": Reading(
        "the body is of the server's other API, in OpenAI's form, where the reader did not look",
        text_at=("choices", 0, "message", "content"),
    ),
    "vertex/stream_text_f49e97": Reading(_NO_WORD, finish="stop"),
    "vertex/unary_text_67ae5e": Reading(_NO_WORD, finish="stop"),
    "gemini/unary_text_1f9a8e": Reading(_NO_WORD, finish="stop"),
}
