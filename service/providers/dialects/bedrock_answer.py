"""A whole answer of Converse in our proto."""

from __future__ import annotations

from collections.abc import Iterator

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import Raw, json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import bedrock_facts as facts
from service.providers.dialects import bedrock_state as state
from service.providers.dialects import bedrock_wire as wire
from service.providers.dialects.answer_tool import ANSWER_TOOL
from service.providers.dialects.openai_wire import read
from service.providers.dialects.stream_state import with_calls


def decode(decoder: json.Decoder[wire.Answer], body: bytes) -> pb.ChatCompletion:
    """Return the one choice, and usage if given.

    Raises ProviderFault: MALFORMED, or REPORTED where the provider could not read its model.
    """
    answer = read(decoder, body)
    given = answer.output.message if answer.output else None
    if given is None or given.content is None:
        raise ProviderFault(FaultKind.MALFORMED, "an answer without a message")
    native = answer.stop_reason or ""
    reason = facts.finish_reason(native)
    try:
        message = _message(given.content)
        choice = pb.Choice(
            message=message,
            finish_reason=with_calls(reason, bool(message.tool_calls)),
            native_finish_reason=native,
        )
    except ValueError as fault:  # text in raw JSON that is not UTF-8
        raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None
    return pb.ChatCompletion(choices=[choice], usage=facts.usage(answer.usage))


def _arguments(given: Raw) -> str:
    """Return a call's input as JSON text, as the provider wrote it. Raises ValueError."""
    text = bytes(given).decode()
    return "{}" if text in ("", "null") else text


def _message(blocks: list[wire.Block]) -> pb.Message:
    message = pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=_calls(blocks))
    reasoning = [block.reasoning_content for block in blocks if block.reasoning_content]
    clear = "".join(part.reasoning_text.text or "" for part in reasoning if part.reasoning_text)
    if clear:
        message.reasoning_content = clear
    message.provider_state = state.of_blocks(reasoning)
    text = "".join(piece for block in blocks for piece in _texts(block))
    if text or not (message.tool_calls or clear):
        message.content.add(text=text)
    return message


def _texts(block: wire.Block) -> Iterator[str]:
    if block.text:
        yield block.text
    if block.citations_content:
        for cited in block.citations_content.content or ():
            yield cited.text or ""
    if block.tool_use and block.tool_use.name == ANSWER_TOOL:
        yield _arguments(block.tool_use.input)


def _calls(blocks: list[wire.Block]) -> list[pb.ToolCall]:
    """Return the calls that are the caller's to make."""
    calls: list[pb.ToolCall] = []
    for block in blocks:
        given = block.tool_use
        if given is None or given.type == wire.SERVER_TOOL or given.name == ANSWER_TOOL:
            continue
        if not given.name:
            raise ProviderFault(FaultKind.MALFORMED, "a tool call without a name")
        calls.append(
            pb.ToolCall(
                id=given.tool_use_id or f"call_0_{len(calls)}",
                name=given.name,
                arguments=_arguments(given.input),
            )
        )
    return calls
