"""OpenAI's wire format as the embedded engine speaks it: what differs is set right here."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from llmbase.v1.chat_completion_pb2 import (
    ROLE_DEVELOPER,
    ROLE_SYSTEM,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Choice,
    ContentPart,
    Message,
)

from service.providers.dialects.dialect import Dialect, Event, Framer, HttpRequest, StreamDecoder
from service.providers.http_faults import Verdict
from service.providers.seen import Seen

# A small model's own default prompt can send it rambling, and in another language than the user's.
_SYSTEM_PROMPT = "You are a helpful assistant."


def with_default_system(request: ChatCompletionRequest) -> ChatCompletionRequest:
    """Return the request, or a copy with a system message where the conversation has none."""
    if any(message.role in (ROLE_SYSTEM, ROLE_DEVELOPER) for message in request.messages):
        return request
    system = Message(role=ROLE_SYSTEM, content=[ContentPart(text=_SYSTEM_PROMPT)])
    copy = ChatCompletionRequest()
    copy.messages.append(system)
    copy.MergeFrom(request)
    return copy


def with_one_top_logprob(request: ChatCompletionRequest) -> ChatCompletionRequest:
    """Return the request, or a copy that asks for one most likely token where it asks for none.

    The engine gives no log probabilities at all for 0, and twenty for an absent number.
    """
    if not request.logprobs or request.top_logprobs:
        return request
    copy = ChatCompletionRequest()
    copy.CopyFrom(request)
    copy.top_logprobs = 1
    return copy


class EmbeddedDialect:
    """Wraps the dialect of OpenAI."""

    name = "embedded"
    takes_image_urls = True

    def __init__(self, openai: Dialect) -> None:
        self._openai = openai

    def encode(
        self, request: ChatCompletionRequest, model: str, *, stream: bool, seen: Seen | None = None
    ) -> HttpRequest:
        """Translate a checked request, with what the engine needs to be told."""
        request = with_one_top_logprob(with_default_system(request))
        return self._openai.encode(request, model, stream=stream, seen=seen)

    def decode(self, body: bytes) -> ChatCompletion:
        """Translate a whole answer. Without usage for several choices; raises as OpenAI's does."""
        completion = self._openai.decode(body)
        if len(completion.choices) > 1:
            completion.ClearField("usage")  # the engine counts the first choice alone
        for choice in completion.choices:
            _drop_unseen_tokens(choice)
        return completion

    def decode_error(self, status: int, body: bytes) -> str:
        """Return the engine's message in an HTTP error body."""
        return self._openai.decode_error(status, body)

    def judge_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Return the status to go by; documented words can correct one that blames the request."""
        return self._openai.judge_error(status, headers, body)

    def framer(self) -> Framer:
        """Return a framer for one stream."""
        return self._openai.framer()

    def decode_stream(self, choices: int = 1) -> StreamDecoder:
        """Return a decoder for one stream."""
        return _EmbeddedStreamDecoder(self._openai.decode_stream(choices))


class _EmbeddedStreamDecoder:
    """Adds usage up: the engine sends it once for each choice, and counts that choice alone."""

    def __init__(self, openai: StreamDecoder) -> None:
        self._openai = openai
        self._completion_tokens = 0

    @property
    def done(self) -> bool:
        return self._openai.done

    @property
    def finished(self) -> bool:
        return self._openai.finished

    @property
    def characters(self) -> int | None:
        return self._openai.characters

    def decode(self, event: Event, chunk: ChatCompletionChunk) -> None:
        self._openai.decode(event, chunk)
        # In text the quotes would be escaped, so little else than usage gets through here.
        if b'"usage":{' in event.data:
            usage = orjson.loads(event.data).get("usage")
            self._completion_tokens += usage["completion_tokens"] if usage else 0

    def finish(self) -> ChatCompletionChunk:
        chunk = self._openai.finish()
        if chunk.HasField("usage"):
            chunk.usage.completion_tokens = self._completion_tokens
            chunk.usage.total_tokens = chunk.usage.prompt_tokens + self._completion_tokens
        return chunk


def _drop_unseen_tokens(choice: Choice) -> None:
    """Take off what comes after the text: the end token, and blanks that the engine stripped."""
    text = "".join(part.text for part in choice.message.content)
    tokens = choice.logprobs.content
    while tokens and not tokens[-1].token.strip():
        last = tokens[-1].token
        if last and text.endswith(last):
            break
        del tokens[-1]
