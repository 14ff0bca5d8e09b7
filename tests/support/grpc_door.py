"""Asks over gRPC, and checks on the way what every message of an answer must be like."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from llmbase.v1 import chat_completion_pb2 as pb
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub
from llmbase.v1.model_pb2_grpc import ModelServiceStub

from tests.support import answers, failures
from tests.support.answers import Answer, Choice, Route, ToolCall, Usage
from tests.support.proto_request import proto_request
from tests.support.signals import Signal

_LARGEST = 2**28  # bytes of a message: what is refused shall be the server's to refuse

_FINISH = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_CONTENT_FILTER: "content_filter",
    pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


class GrpcDoor:
    """A client of the gRPC door, as one caller."""

    name = "grpc"

    def __init__(
        self, target: str, key: str | None, more_options: Sequence[tuple[str, str | int]] = ()
    ) -> None:
        options: list[tuple[str, str | int]] = [
            ("grpc.max_send_message_length", _LARGEST),
            ("grpc.max_receive_message_length", _LARGEST),
            *more_options,
        ]
        self.channel = grpc.aio.insecure_channel(target, options=options)
        self.chat = ChatCompletionServiceStub(self.channel)
        self.models = ModelServiceStub(self.channel)
        self._key = key

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.channel.close()

    def metadata(self, headers: Mapping[str, str] | None = None) -> tuple[tuple[str, str], ...]:
        """The metadata of a call: the key and what else is given."""
        key = {"authorization": f"Bearer {self._key}"} if self._key is not None else {}
        return tuple((key | {k.lower(): v for k, v in (headers or {}).items()}).items())

    async def ask(
        self,
        body: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = answers.REQUEST_TIMEOUT,
        first: Signal | None = None,
    ) -> Answer:
        """Ask what a REST body asks. Sets `first` when the first chunk has arrived."""
        answer, request = Answer(), proto_request(body)
        metadata = self.metadata(headers)
        try:
            if body.get("stream"):
                call = self.chat.StreamChatCompletion(request, metadata=metadata, timeout=timeout)
                await _read_stream(call, answer, first)
            else:
                unary = self.chat.CreateChatCompletion(request, metadata=metadata, timeout=timeout)
                _read_completion(await unary, answer)
        except grpc.aio.AioRpcError as error:
            answer.failure = failures.from_rpc_error(error)
        return answer


async def _read_stream(call: Any, answer: Answer, first: Signal | None) -> None:
    head: pb.ChatCompletionChunk | None = None
    last = False
    async for chunk in call:
        assert not last, "the chunk with `last` set is the last"
        if first is not None:
            first.set()
        if head is None:
            head = chunk
            _check_origin(chunk)
            answer.model, answer.route = chunk.model, _route(chunk.route)
        else:
            assert not chunk.HasField("route"), "the route comes with the first chunk only"
        assert (chunk.id, chunk.created, chunk.model) == (head.id, head.created, head.model)
        assert chunk.HasField("usage") == chunk.last, "usage comes with the last chunk only"
        assert chunk.choices, "a chunk without deltas says nothing"
        last = chunk.last
        answer.fingerprint = chunk.system_fingerprint or answer.fingerprint
        for delta in chunk.choices:
            assert bool(delta.finish_reason) == last, "finish reasons come with the last chunk"
            answer.append(_delta(delta))
        if last:
            answer.usage, answer.complete = _usage(chunk.usage), True
    assert last, "a stream that ends without its last chunk ends with an error"


def _read_completion(completion: pb.ChatCompletion, answer: Answer) -> None:
    _check_origin(completion)
    answer.model, answer.route = completion.model, _route(completion.route)
    answer.choices = [_choice(choice) for choice in completion.choices]
    answer.usage, answer.complete = _usage(completion.usage), True
    answer.fingerprint = completion.system_fingerprint or None


def _check_origin(answer: pb.ChatCompletion | pb.ChatCompletionChunk) -> None:
    assert answers.ANSWER_ID.fullmatch(answer.id), answer.id
    assert abs(answer.created - time.time()) < 3600
    assert answer.HasField("route")


def _choice(choice: pb.Choice) -> Choice:
    message = choice.message
    assert message.role == pb.ROLE_ASSISTANT
    texts = [part.text for part in message.content if part.HasField("text")]
    return Choice(
        choice.index,
        text="".join(texts) if texts else None,
        reasoning=_present(message, "reasoning_content"),
        refusal=_present(message, "refusal"),
        calls=[
            ToolCall(i, call.id, call.name, call.arguments, call.provider_state)
            for i, call in enumerate(message.tool_calls)
        ],
        logprobs=_logprobs(choice.logprobs) if choice.HasField("logprobs") else None,
        finish=_FINISH[choice.finish_reason],
        native_finish=_native(choice),
        state=message.provider_state,
    )


def _delta(delta: pb.ChoiceDelta) -> Choice:
    return Choice(
        delta.index,
        text=_present(delta, "content"),
        reasoning=_present(delta, "reasoning_content"),
        refusal=_present(delta, "refusal"),
        calls=[
            ToolCall(call.index, call.id, call.name, call.arguments, call.provider_state)
            for call in delta.tool_calls
        ],
        logprobs=_logprobs(delta.logprobs) if delta.HasField("logprobs") else None,
        finish=_FINISH.get(delta.finish_reason),
        native_finish=_native(delta),
        state=delta.provider_state,
    )


def _native(choice: pb.Choice | pb.ChoiceDelta) -> str | None:
    """The provider's own word, where it is another one: REST is silent where it is the same."""
    native = choice.native_finish_reason
    return None if native in ("", _FINISH.get(choice.finish_reason)) else native


def _present(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def _logprobs(logprobs: pb.Logprobs) -> dict[str, Any]:
    def entry(token: pb.TokenLogprob) -> dict[str, Any]:
        data = list(token.bytes) if token.HasField("bytes") else None
        return {"token": token.token, "logprob": token.logprob, "bytes": data}

    def entries(tokens: Any) -> list[dict[str, Any]] | None:
        full = [entry(t) | {"top_logprobs": [entry(top) for top in t.top_logprobs]} for t in tokens]
        return full or None

    return {"content": entries(logprobs.content), "refusal": entries(logprobs.refusal)}


def _usage(usage: pb.Usage) -> Usage:
    return Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    )


def _route(route: pb.RouteFacts) -> Route:
    return Route(
        route.requested_model,
        route.served_model,
        route.provider,
        route.attempts,
        route.fallback_applied,
        route.fallback_reason,
        tuple(route.fallback_chain),
        route.replayed,
    )
