"""Reads what a dialect makes of bytes, and folds it into what a caller would understand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import Dialect, StreamDecoder

WORDS = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
    pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


@dataclass
class Call:
    """A tool call as the caller sees it."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    state: bytes = b""


@dataclass
class Said:
    """What one choice says."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str = ""
    native: str = ""
    state: bytes = b""
    tokens: list[str] = field(default_factory=list)


def read_stream(
    dialect: Dialect, pieces: Iterable[bytes]
) -> tuple[pb.ChatCompletionChunk, pb.ChatCompletionChunk]:
    """All deltas of a stream in one chunk, and the last chunk."""
    framer, decoder = dialect.framer(), dialect.decode_stream()
    chunk = pb.ChatCompletionChunk()
    for piece in pieces:
        for event in framer.feed(piece):
            decoder.decode(event, chunk)
    for event in framer.end():
        decoder.decode(event, chunk)
    return chunk, decoder.finish()


def fold(chunk: pb.ChatCompletionChunk, last: pb.ChatCompletionChunk) -> dict[int, Said]:
    """What each choice of a stream says, with the rules of the contract checked on the way."""
    found: dict[int, Said] = {}
    for delta in chunk.choices:
        said = found.setdefault(delta.index, Said())
        assert delta.ByteSize() > pb.ChoiceDelta(index=delta.index).ByteSize(), "an empty delta"
        assert not delta.finish_reason and not delta.native_finish_reason
        said.text += delta.content
        said.reasoning += delta.reasoning_content
        said.refusal += delta.refusal
        said.state += delta.provider_state
        said.tokens += [token.token for token in delta.logprobs.content]
        for piece in delta.tool_calls:
            _add(said.calls, piece)
    assert last.last
    for delta in last.choices:
        said = found.setdefault(delta.index, Said())
        said.finish, said.native = WORDS[delta.finish_reason], delta.native_finish_reason
        bare = pb.ChoiceDelta(
            index=delta.index,
            finish_reason=delta.finish_reason,
            native_finish_reason=delta.native_finish_reason,
        )
        assert delta == bare, "the last chunk says more than why"
    assert all(said.finish for said in found.values())
    return found


def _add(calls: list[Call], piece: pb.ToolCallDelta) -> None:
    first = piece.index == len(calls)
    assert first or piece.index < len(calls), "indexes are contiguous"
    assert first == bool(piece.id) == bool(piece.name), "id and name are on the first piece only"
    if first:
        calls.append(Call(piece.id, piece.name))
    calls[piece.index].arguments += piece.arguments
    calls[piece.index].state += piece.provider_state


def whole(completion: pb.ChatCompletion) -> dict[int, Said]:
    """What each choice of a whole answer says."""
    found = {}
    for choice in completion.choices:
        message = choice.message
        assert message.role == pb.ROLE_ASSISTANT
        found[choice.index] = Said(
            "".join(part.text for part in message.content),
            message.reasoning_content,
            message.refusal,
            [Call(c.id, c.name, c.arguments, c.provider_state) for c in message.tool_calls],
            WORDS[choice.finish_reason],
            choice.native_finish_reason,
            message.provider_state,
            [token.token for token in choice.logprobs.content],
        )
    return found


def is_complete(decoder: StreamDecoder) -> bool:
    """Whether a last chunk can be had; anything but a truncation is an error."""
    try:
        decoder.finish()
    except ProviderFault as fault:
        assert fault.kind is FaultKind.TRUNCATED
        return False
    return True
