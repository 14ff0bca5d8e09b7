"""A whole answer of OpenAI's chat completions in our proto."""

from __future__ import annotations

from typing import Any

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import openai_calls as calls
from service.providers.dialects import openai_error as error
from service.providers.dialects import openai_facts as facts
from service.providers.dialects import openai_state as state
from service.providers.dialects import openai_wire as wire
from service.providers.dialects.unknown import OnUnknown, checked


def decode(
    decoder: json.Decoder[wire.Answer], body: bytes, on_unknown: OnUnknown
) -> pb.ChatCompletion:
    """Return choices, usage if given, and system_fingerprint; report finish words that are new.

    Raises ProviderFault: MALFORMED, TRUNCATED where there is not a single choice, REPORTED, STATUS
    or REJECTED for an error inside the answer.
    """
    answer = wire.read(decoder, body)
    if answer.error:
        raise error.fault(answer.error, "in a whole answer")
    if answer.choices is None:
        bare = error.bare_fault(body, "for an answer")
        raise bare or ProviderFault(FaultKind.MALFORMED, "an answer without `choices`")
    if not answer.choices:
        raise ProviderFault(FaultKind.TRUNCATED, "an answer with no choice in it")
    try:
        completion = pb.ChatCompletion()
        facts.take_usage(answer.usage, completion.usage)
        if answer.system_fingerprint:
            completion.system_fingerprint = answer.system_fingerprint
        answer_id = answer.id or ""
        if len(answer.choices) == 1:  # as nearly always
            choice = answer.choices[0]
            _take(choice, answer_id, choice.index or 0, completion.choices.add())
            if not choice.finish_reason or facts.knows(choice.finish_reason):
                return completion
        else:
            _take_several(answer.choices, answer_id, completion.choices)
    except (ValueError, RecursionError) as fault:
        raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None
    return checked(completion, facts.knows, on_unknown)


def said(message: wire.Message) -> tuple[str, str, str]:
    """Return text, reasoning in clear text and refusal, in whatever spelling they come.

    Some send reasoning in two spellings at once: the first that is filled counts. Of a content
    that is a list of parts, the text is that of its text parts.
    """
    text = message.content
    thought = (
        message.reasoning_content
        or message.reasoning
        or message.reasoning_text
        or message.thinking
        or ""
    )
    refusal = message.refusal or ""
    if isinstance(text, list):
        parts = text
        text = "".join(part.text or "" for part in parts if part.type in (None, "text"))
        thought = thought or _thoughts(parts)
        refusal = refusal or "".join(part.refusal or "" for part in parts)
    return text or "", thought, refusal


def _thoughts(parts: list[wire.Part]) -> str:
    pieces = []
    for part in parts:
        if isinstance(part.thinking, str):
            pieces.append(part.thinking)
        elif part.thinking:
            pieces.extend(thought.text or "" for thought in part.thinking)
    return "".join(pieces)


def _take_several(given: list[wire.Choice], answer_id: str, choices: Any) -> None:
    """Add the choices by ascending index: the provider's, or the position where that fails."""
    indexes = [position if c.index is None else c.index for position, c in enumerate(given)]
    if len(set(indexes)) < len(indexes):
        indexes = list(range(len(given)))
    for choice, index in zip(given, indexes, strict=True):
        _take(choice, answer_id, index, choices.add())
    choices.sort(key=lambda choice: choice.index)


def _take(given: wire.Choice, answer_id: str, index: int, choice: pb.Choice) -> None:
    if given.error:
        raise error.fault(given.error, "in a choice")
    if given.message is None:
        raise ProviderFault(FaultKind.MALFORMED, "a choice without a message")
    native = given.finish_reason or ""
    # Filled where it is to stay: a message made apart would be copied into its choice.
    called = _take_message(given.message, f"{answer_id}/{index}", choice.message)
    choice.finish_reason = facts.finish_reason(native, called)
    choice.native_finish_reason = native
    if index:  # else it need not be said
        choice.index = index
    if given.logprobs is not None:
        facts.add_logprobs(given.logprobs, choice)


def _take_message(given: wire.Message, seed: str, message: pb.Message) -> bool:
    """Fill the message, and say whether it has tool calls."""
    message.role = pb.ROLE_ASSISTANT
    called = False
    if given.tool_calls or given.function_call:
        message.tool_calls.extend(calls.whole(given, seed))
        called = bool(message.tool_calls)
    text, thought, refusal = said(given)
    if thought:
        message.reasoning_content = thought
    if refusal:
        message.refusal = refusal
    if opaque := state.of_message(given):
        message.provider_state = opaque
    # An empty string beside something else is how many spell null; alone it is the answer.
    if text or (given.content is not None and not (called or thought or refusal)):
        message.content.add().text = text
    return called
