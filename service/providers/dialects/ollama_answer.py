"""A whole answer of Ollama's in our proto."""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb
from msgspec import json

from service.errors import FaultKind, ProviderFault
from service.providers.dialects import ollama_facts as facts
from service.providers.dialects import ollama_wire as wire
from service.providers.dialects import openai_answer, openai_calls, openai_wire
from service.providers.dialects.openai_facts import add_logprobs
from service.providers.dialects.stream_state import with_calls
from service.providers.dialects.unknown import unheard


def decode(decoder: json.Decoder[wire.Answer], body: bytes) -> pb.ChatCompletion:
    """Return the one choice and, if given, usage.

    An answer in OpenAI's form, which the same server speaks under another path, is read as what it
    is. Raises ProviderFault: MALFORMED, TRUNCATED; REPORTED, STATUS or REJECTED for an error inside
    the answer, and for a model that was loaded or unloaded instead of answering.
    """
    answer = openai_wire.read(decoder, body)
    if answer.error:
        raise facts.fault(answer, "in a whole answer")
    if answer.message is None and answer.choices is not None:
        # Finish words that are new are for the caller to report.
        return openai_answer.decode(json.Decoder(openai_wire.Answer), body, unheard)
    if answer.message is None:
        raise ProviderFault(FaultKind.MALFORMED, "an answer without `message`")
    if answer.done is False:
        raise ProviderFault(FaultKind.TRUNCATED, "an answer that is not done")
    native = answer.done_reason or ""
    reason = facts.finish_reason(native)
    try:
        choice = pb.Choice(message=_message(answer.message, answer.created_at or ""))
        _add_logprobs(answer, choice)
    except (ValueError, RecursionError) as fault:
        raise ProviderFault(FaultKind.MALFORMED, type(fault).__name__) from None
    choice.finish_reason = with_calls(reason, bool(choice.message.tool_calls))
    choice.native_finish_reason = native
    return pb.ChatCompletion(choices=[choice], usage=facts.usage(answer))


def _message(given: wire.Message, seed: str) -> pb.Message:
    calls = openai_wire.Message(tool_calls=given.tool_calls)
    message = pb.Message(
        role=pb.ROLE_ASSISTANT,
        tool_calls=openai_calls.whole(calls, seed),
        reasoning_content=given.thinking or None,
    )
    # An empty string beside something else is how Ollama spells null; alone it is the answer.
    if given.content or not (message.tool_calls or message.reasoning_content):
        message.content.add(text=given.content or "")
    return message


def _add_logprobs(answer: wire.Answer, choice: pb.Choice) -> None:
    """Add log probabilities where all of them are the text's: one list holds those of every token.

    Beside thinking or calls nothing tells which are the text's, so there are none.
    """
    message = choice.message
    if answer.logprobs and not (message.reasoning_content or message.tool_calls):
        add_logprobs(openai_wire.Logprobs(content=answer.logprobs), choice)
