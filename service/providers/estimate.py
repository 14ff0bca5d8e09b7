"""What we count when a provider gives no usage. Marked `estimated`, and never better than a guess:

four characters a token is the middle of what current tokenizers do on English text and code.
"""

from __future__ import annotations

from llmbase.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionRequest,
    ChoiceDelta,
    Usage,
)

from service.providers.plain_message import Other
from service.providers.seen import Seen, look

_CONTENT = ChoiceDelta.DESCRIPTOR.fields_by_name["content"]

_CHARACTERS_PER_TOKEN = 4
_MOST_CHARACTERS_PER_TOKEN = 8  # on average over an answer: prose has up to 6 in most languages
_TOKENS_PER_MESSAGE = 4  # role and separators, in the chat templates we know
_TOKENS_PER_IMAGE = 765  # a 1024 x 1024 image at OpenAI's published high-detail price


def prompt_tokens(request: ChatCompletionRequest, seen: Seen | None = None) -> int:
    """Estimate the tokens of a request: its text, tools and images."""
    seen = look(request, seen)
    characters, images = seen.characters + seen.tools.characters, 0
    for other in seen.others:
        held, shown = _held(other)
        characters += held
        images += shown
    used = _TOKENS_PER_MESSAGE * len(seen.turns) + _TOKENS_PER_IMAGE * images
    return used + tokens(characters)


def completion_characters(completion: ChatCompletion) -> int:
    """Count the characters a whole answer holds."""
    messages = [choice.message for choice in completion.choices]
    return sum(_held(Other(i, it.ListFields()))[0] for i, it in enumerate(messages))


def delta_characters(delta: ChoiceDelta) -> int:
    """Count the characters a delta adds."""
    fields = delta.ListFields()
    if len(fields) == 1 and fields[0][0] is _CONTENT:  # a piece of text, as nearly always
        return len(fields[0][1])
    characters = len(delta.content) + len(delta.reasoning_content) + len(delta.refusal)
    for call in delta.tool_calls:
        characters += len(call.name) + len(call.arguments)
    return characters


def usage(request: ChatCompletionRequest, characters: int) -> Usage:
    """Estimate the usage of an answer that holds so many characters."""
    prompt, completion = prompt_tokens(request), tokens(characters)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        estimated=True,
    )


def _held(message: Other) -> tuple[int, int]:
    """Count the characters and the images that a message holds."""
    given = message.given
    characters = len(given.get("reasoning_content", "")) + len(given.get("refusal", ""))
    images = 0
    for part in message.parts:
        if text := part.text:
            characters += len(text)
        elif part.HasField("image_url"):
            images += 1
        else:
            characters += len(part.refusal)
    if "tool_calls" in given:
        for call in given["tool_calls"][:]:  # a slice is the quickest way through
            characters += len(call.name) + len(call.arguments)
    return characters, images


def tokens(characters: int) -> int:
    """Estimate the tokens of so many characters."""
    return -(-characters // _CHARACTERS_PER_TOKEN)


def most_characters(tokens: int) -> int:
    """Return how many characters so many tokens can be: more than our estimate says they are."""
    return tokens * _MOST_CHARACTERS_PER_TOKEN
