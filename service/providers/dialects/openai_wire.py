"""The shapes of OpenAI's chat-completions answers, and of what near-compatible providers add.

One set serves whole answers and chunks. A field of the wrong type is refused, null is absent, a
field without a place here is skipped without being looked at.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from msgspec import Meta, Raw, Struct, json

from service.errors import FaultKind, ProviderFault

# A bound that keeps the sum of any two counts inside the proto's int32.
Count = Annotated[int, Meta(ge=0, lt=2**30)]
Index = Annotated[int, Meta(ge=0, lt=2**31)]
Byte = Annotated[int, Meta(ge=0, lt=256)]
# An object whose members stay JSON text, so that numbers and the order of keys survive.
RawObject = dict[str, Raw]


class Part(Struct, gc=False):
    """A piece of content that is sent as a list (Mistral)."""

    type: str | None = None
    text: str | None = None
    thinking: str | list[Part] | None = None
    refusal: str | None = None


class Function(Struct, gc=False):
    """What is called. Some send the arguments as an object instead of its text."""

    name: str | None = None
    arguments: str | RawObject | None = None


class ToolCall(Struct, gc=False):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: RawObject | None = None


class TokenLogprob(Struct, gc=False):
    """A token's log probability; null where it is too small for a number."""

    token: str
    logprob: float | None = None
    bytes: list[Byte] | None = None
    top_logprobs: list[TokenLogprob] | None = None


class Logprobs(Struct, gc=False):
    """Log probabilities of a choice's tokens."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Message(Struct, gc=False):
    """A message, or a delta of one."""

    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    # Spellings of the reasoning in clear text.
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_text: str | None = None
    thinking: str | None = None
    # Opaque state; openai_state.py says whose.
    reasoning_details: list[RawObject] | None = None
    reasoning_opaque: str | None = None
    extra_content: RawObject | None = None


class Choice(Struct, gc=False):
    """A choice: `message` in whole answers, `delta` in chunks."""

    index: Index | None = None
    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    error: Any = None


class PromptDetails(Struct, gc=False):
    """Parts of the prompt's tokens."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class CompletionDetails(Struct, gc=False):
    """Parts of the completion's tokens."""

    reasoning_tokens: Count | None = None


class Usage(Struct, gc=False):
    """What an answer used, with every spelling of cached and reasoning tokens that is known."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    cached_tokens: Count | None = None
    prompt_cache_hit_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class Groq(Struct, gc=False):
    """Where Groq puts usage that was not asked for."""

    usage: Usage | None = None


class Answer(Struct, gc=False):
    """A whole answer, or a chunk of a streamed one."""

    id: str | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    system_fingerprint: str | None = None
    error: Any = None
    x_groq: Groq | None = None


T = TypeVar("T")


def read(decoder: json.Decoder[T], data: bytes) -> T:
    """Decode JSON. Raises ProviderFault MALFORMED for anything that is not what is expected.

    The decoder's own words name places and types, never values.
    """
    try:
        return decoder.decode(data)
    except RecursionError:
        raise ProviderFault(FaultKind.MALFORMED, "JSON nested too deep") from None
    except UnicodeDecodeError:
        raise ProviderFault(FaultKind.MALFORMED, "text that is not UTF-8") from None
    except ValueError as error:
        raise ProviderFault(FaultKind.MALFORMED, str(error)) from None


def arguments_text(arguments: str | RawObject | None) -> str:
    """Return a call's arguments as JSON text, as far as they have come."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.format(json.encode(arguments), indent=-1).decode()
