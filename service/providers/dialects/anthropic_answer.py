"""A whole answer of the Messages API in our proto.

Text blocks are one text, whatever stands between them; what the provider's own tools did (server
tools, their results, citations) is not part of it.
"""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import Raw, json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import anthropic_error as error
from service.providers.dialects import anthropic_facts as facts
from service.providers.dialects import anthropic_state as state
from service.providers.dialects import anthropic_wire as wire
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.openai_wire import RawObject, read
from service.providers.dialects.stream_state import with_calls
from service.providers.dialects.unknown import OnUnknown

_TEXT, _CALL = "text", "tool_use"
_THOUGHTS = ("thinking", "redacted_thinking")


def decode(
    decoder: json.Decoder[wire.Answer], body: bytes, on_unknown: OnUnknown
) -> pb.ChatCompletion:
    """Return the one choice and, if given, usage.

    Raises ProviderFault: MALFORMED; REPORTED, STATUS or REJECTED for an error inside the answer.
    """
    answer = read(decoder, body)
    if answer.error:
        raise error.fault(answer.error, "in a whole answer")
    if answer.content is None:
        raise ProviderFault(FaultKind.MALFORMED, "an answer without `content`")
    try:
        message, answered = _message(answer.content, on_unknown)
        if said := facts.refusal(answer.stop_details):
            message.refusal = said
    except (ValueError, RecursionError) as fault:
        raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None
    native = answer.stop_reason or ""
    reason = facts.finish_reason(native, answered=answered)
    tokens = facts.Tokens()
    tokens.take(answer.usage)
    choice = pb.Choice(
        message=message,
        finish_reason=with_calls(reason, bool(message.tool_calls)),
        native_finish_reason=native,
    )
    return pb.ChatCompletion(choices=[choice], usage=tokens.usage())


def arguments_text(given: RawObject | None) -> str:
    """Return a call's input as JSON text; "{}" for none."""
    return json.format(json.encode(given or {}), indent=-1).decode()


def call_name(block: wire.Block) -> str:
    """Return the name of the tool that a block calls. Raises ProviderFault if it has none."""
    if not block.name:
        raise ProviderFault(FaultKind.MALFORMED, "a tool call without a name")
    return block.name


def _message(content: list[Raw], on_unknown: OnUnknown) -> tuple[pb.Message, bool]:
    """Return the message, and whether a call was its text."""
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    texts: list[str] = []
    answered = False
    thinking: list[str] = []
    kept: list[bytes] = []
    for raw in content:
        kind = json.decode(raw, type=wire.Kind).type
        if kind not in (_TEXT, _CALL, *_THOUGHTS):
            if wire.is_new(kind):
                on_unknown("enum", kind or "")
            continue
        block = json.decode(raw, type=wire.Block)
        if kind == _TEXT:
            texts.append(block.text or "")
        elif kind == _CALL and block.name == ANSWER_TOOL:
            texts.append(arguments_text(block.input))
            answered = True
        elif kind == _CALL:
            _add_call(message, block)
        else:
            thinking.append(block.thinking or "")
            at = state.Thought(sum(map(len, texts)), len(message.tool_calls), bytes(raw))
            kept.append(state.line(at))
    if text := "".join(texts):
        message.content.add(text=text)
    if thought := "".join(thinking):
        message.reasoning_content = thought
    message.provider_state = b"".join(kept)
    return message, answered


def _add_call(message: pb.Message, block: wire.Block) -> None:
    message.tool_calls.add(
        id=block.id or f"call_0_{len(message.tool_calls)}",
        name=call_name(block),
        arguments=arguments_text(block.input),
    )
