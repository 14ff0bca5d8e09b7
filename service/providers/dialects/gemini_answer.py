"""A whole answer of Gemini: the same message as a stream's, which therefore is read as one."""

from __future__ import annotations

from llmbase.v1 import chat_completion_pb2 as pb

from service.providers.dialects.gemini_stream import GeminiStreamDecoder


def decode(decoder: GeminiStreamDecoder, body: bytes) -> pb.ChatCompletion:
    """Return choices, and usage if given. Raises ProviderFault as the stream's decoder does."""
    chunk = pb.ChatCompletionChunk()
    decoder.read(body, chunk)
    decoder.excuse_finish()
    last = decoder.finish()
    answer = pb.ChatCompletion()
    if last.HasField("usage"):
        answer.usage.CopyFrom(last.usage)
    for end in last.choices:
        choice = answer.choices.add(
            index=end.index,
            finish_reason=end.finish_reason,
            native_finish_reason=end.native_finish_reason,
        )
        _gather([delta for delta in chunk.choices if delta.index == end.index], choice)
    return answer


def _gather(deltas: list[pb.ChoiceDelta], choice: pb.Choice) -> None:
    message = choice.message
    message.role = pb.ROLE_ASSISTANT
    text = "".join(delta.content for delta in deltas)
    if reasoning := "".join(delta.reasoning_content for delta in deltas):
        message.reasoning_content = reasoning
    message.provider_state = b"".join(delta.provider_state for delta in deltas)
    for delta in deltas:
        for call in delta.tool_calls:
            message.tool_calls.add(
                id=call.id,
                name=call.name,
                arguments=call.arguments,
                provider_state=call.provider_state,
            )
        if delta.HasField("logprobs"):
            choice.logprobs.content.extend(delta.logprobs.content)
    if text or not (message.tool_calls or reasoning):
        message.content.add(text=text)
