"""A whole answer of Cohere's in our proto.

Text blocks are one text, and thinking blocks one reasoning. The plan before tool calls is neither:
it is kept as opaque state. Citations have no place in OpenAI's form and are left out.
"""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import cohere_facts as facts
from service.providers.dialects import cohere_state as state
from service.providers.dialects import cohere_wire as wire
from service.providers.dialects.openai_calls import CallIds
from service.providers.dialects.openai_wire import read
from service.providers.dialects.stream_state import with_calls


def decode(decoder: json.Decoder[wire.Answer], body: bytes) -> pb.ChatCompletion:
    """Return the one choice and, if given, usage.

    Raises ProviderFault: MALFORMED; REPORTED or STATUS for an error inside the answer.
    """
    answer = read(decoder, body)
    if isinstance(answer.message, str):
        raise ProviderFault(FaultKind.REPORTED, "an error for an answer", told=answer.message)
    if answer.message is None:
        raise ProviderFault(FaultKind.MALFORMED, "an answer without `message`")
    native = answer.finish_reason or ""
    reason = facts.finish_reason(native)
    try:
        choice = pb.Choice(message=_message(answer.message, answer.id or ""))
        _add_logprobs(answer, choice)
    except ValueError as fault:
        raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None
    choice.finish_reason = with_calls(reason, bool(choice.message.tool_calls))
    choice.native_finish_reason = native
    return pb.ChatCompletion(choices=[choice], usage=facts.usage(answer.usage))


def calls(message: wire.Message) -> list[wire.ToolCall]:
    """Return the tool calls of a message, or of a piece of one."""
    given = message.tool_calls
    return [given] if isinstance(given, wire.ToolCall) else given or []


def call_name(call: wire.ToolCall) -> str:
    """Return the name of the tool that is called. Raises ProviderFault if it has none."""
    if call.function is None or not call.function.name:
        raise ProviderFault(FaultKind.MALFORMED, "a tool call without a name")
    return call.function.name


def arguments(call: wire.ToolCall) -> str:
    """Return a call's arguments as JSON text, as far as they have come."""
    return (call.function.arguments if call.function else None) or ""


def _message(given: wire.Message, seed: str) -> pb.Message:
    ids = CallIds(seed)
    message = pb.Message(role=pb.ROLE_ASSISTANT)
    for call in calls(given):
        text = arguments(call)
        message.tool_calls.add(
            id=ids.give(call.id),
            name=call_name(call),
            arguments=text if text.strip() else "{}",
        )
    blocks = _blocks(given)
    if thought := "".join(block.thinking or "" for block in blocks):
        message.reasoning_content = thought
    said = "".join(block.text or "" for block in blocks)
    # Nothing at all is an empty answer; beside something else it is none.
    if said or not (message.tool_calls or thought):
        message.content.add(text=said)
    if message.tool_calls:
        message.provider_state = state.of_plan(given.tool_plan or "")
    return message


def _blocks(message: wire.Message) -> list[wire.Content]:
    content = message.content
    if isinstance(content, str):
        return [wire.Content(text=content)]
    return [content] if isinstance(content, wire.Content) else content or []


def _add_logprobs(answer: wire.Answer, choice: pb.Choice) -> None:
    """Add log probabilities where all of them are the text's: one list holds those of every token.

    Beside reasoning or calls nothing tells which are the text's, so there are none.
    """
    message = choice.message
    if answer.logprobs and not (message.reasoning_content or message.tool_calls):
        facts.add_logprobs(answer.logprobs, choice)
