"""Another llmbase, asked over gRPC in our own words: nothing is translated, so nothing is lost.

Below the RPC floor only this and its stream know gRPC, because here gRPC is the provider's wire.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import grpc
from llmbase.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionRequest,
)
from llmbase.v1.chat_completion_pb2_grpc import ChatCompletionServiceStub

from service.config import TimeoutsConfig
from service.errors import DeadlineExceeded, FaultKind, ProviderFault
from service.providers import http_faults, llmbase_faults
from service.providers.call import Call
from service.providers.limits import Limits
from service.providers.llmbase_stream import Failures, LlmbaseStream, StreamCall
from service.providers.provider import NO_FACTS
from telemetry.tracing import Attributes

_LARGEST_MESSAGE = 64 * 2**20  # bytes, as the service itself takes them
# Milliseconds: after so much silence a peer is pinged, and so long it may take to answer.
_SILENCE, _PATIENCE = 30_000, 10_000
# Seconds by which their deadline may be over before ours: they keep a reserve for telling us, and
# clocks differ.
_CLOCKS = 0.15
_LINGER = 1.0  # seconds for the status of an answer that is complete
_DETAILS_KEY = "grpc-status-details-bin"

Metadata = tuple[tuple[str, str], ...]
UnaryCall = grpc.aio.UnaryUnaryCall[ChatCompletionRequest, ChatCompletion]


def open_channel(
    base_url: str, *, connect: float, roots: bytes | None, user_agent: str
) -> grpc.aio.Channel:
    """Return a channel that connects when it is first needed. Needs a running loop.

    `base_url` is grpc://HOST:PORT, grpcs://HOST:PORT or unix:/PATH; `connect` is the limit on one
    attempt to connect, in seconds; `roots` are the certificates (PEM) to trust instead of gRPC's.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ("grpc.primary_user_agent", user_agent),
        ("grpc.min_reconnect_backoff_ms", round(connect * 1000)),  # how long connecting may take
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),  # one that is back is not left out for long
        ("grpc.use_local_subchannel_pool", 1),  # two providers share no connection
        ("grpc.keepalive_time_ms", _SILENCE),
        ("grpc.keepalive_timeout_ms", _PATIENCE),
        ("grpc.http2.ping_timeout_ms", _PATIENCE),  # else a minute, whatever the line above says
        # Probes of the line's speed are pings, too: on a slow one they come back late.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.max_pings_without_data", 0),  # an answer may be long in coming
        ("grpc.enable_http_proxy", 0),  # what is not in the configuration is not used
        ("grpc.service_config_disable_resolution", 1),
    ]
    scheme, _, address = base_url.partition("://")
    if base_url.startswith("unix:"):
        return grpc.aio.insecure_channel(base_url, options=options)
    target = f"dns:///{address}"
    if scheme == "grpcs":
        tls = grpc.ssl_channel_credentials(root_certificates=roots)
        return grpc.aio.secure_channel(target, tls, options=options)
    return grpc.aio.insecure_channel(target, options=options)


@dataclass(frozen=True, slots=True)
class RpcRequest:
    """What to send. What the other side leaves out it says itself, in its answer's route."""

    message: ChatCompletionRequest
    ignored: tuple[str, ...] = ()


class LlmbaseProvider:
    """Asks one llmbase, over a channel that it owns. Safe for concurrent use."""

    images = None  # they fetch them, if need be

    def __init__(
        self,
        name: str,
        channel: grpc.aio.Channel,
        *,
        timeouts: TimeoutsConfig,
        metadata: Metadata,
        secrets: tuple[str, ...] = (),
        facts: Attributes = NO_FACTS,
    ) -> None:
        self.name = name
        self.facts = facts
        self._channel = channel
        self._stub = ChatCompletionServiceStub(channel)
        self._timeouts = timeouts
        self._limits = Limits(timeouts)
        self._metadata = metadata
        self._secrets = secrets
        self._lingering: set[asyncio.Task[None]] = set()

    def encode(
        self, request: ChatCompletionRequest, model: str, call: Call, *, stream: bool
    ) -> RpcRequest:
        """Return the request as it came, but for the model's name, and what is for us alone."""
        message = ChatCompletionRequest()
        message.CopyFrom(request)
        message.model = model
        message.ClearField("idempotency_key")  # of an attempt that failed they may keep an answer
        message.ClearField("last_chunk_sequence")
        return RpcRequest(message)

    async def complete(self, encoded: RpcRequest, call: Call) -> ChatCompletion:
        """Return the whole answer, with their route. Raises ProviderFault, DeadlineExceeded."""
        limit = self._limits.whole
        limit.start(call)
        try:
            with call.wait:
                seconds = self._seconds(call)
                call.sent = True
                rpc: UnaryCall = self._stub.CreateChatCompletion(
                    encoded.message, timeout=seconds, metadata=self._metadata_of(call)
                )
                failure = _failures(seconds)
                try:
                    completion: ChatCompletion | None = await rpc
                except grpc.aio.AioRpcError as error:
                    raise failure(error, False) from None
                finally:
                    rpc.cancel()
        finally:
            limit.let_go(call.wait)
        # What cannot be parsed is None to gRPC.
        if completion is None or not completion.choices:
            raise ProviderFault(FaultKind.MALFORMED, "an answer without choices")
        return completion

    async def stream(self, encoded: RpcRequest, choices: int, call: Call) -> LlmbaseStream:
        """Return a stream whose first content has arrived; the caller closes it.

        Raises ProviderFault, DeadlineExceeded.
        """
        seconds = self._seconds(call)
        call.sent = True
        total, first_content = self._limits.total, self._limits.first_content
        stream = LlmbaseStream(
            self._stub.StreamChatCompletion(
                encoded.message, timeout=seconds, metadata=self._metadata_of(call)
            ),
            _failures(seconds),
            call.wait,
            self._timeouts,
            total,
            self._linger,
        )
        total.start(call)
        first_content.start(call)
        try:
            with call.wait:
                await stream.open()
        except BaseException:
            stream.close()
            raise
        finally:
            first_content.let_go(call.wait)
        return stream

    def redact(self, told: str) -> str:
        """Return a message of theirs as it may be passed on to the caller."""
        return http_faults.redact(told, self._secrets)

    async def close(self) -> None:
        """Wait for what lingers (about a second at most), then close the connection."""
        if self._lingering:
            await asyncio.wait(self._lingering)
        await self._channel.close()

    def _seconds(self, call: Call) -> float:
        """Return the time they are given: the caller's, or ours where that is less."""
        left = call.seconds_left()
        total = self._timeouts.total
        return total if left is None else min(left, total)

    def _metadata_of(self, call: Call) -> Metadata:
        metadata = (*self._metadata, ("x-request-id", call.request_id))
        if call.trace is not None:
            metadata += call.trace.entries()
        if not call.fallback:
            metadata += (("x-llmbase-fallback", "off"),)
        return metadata

    def _linger(self, rpc: StreamCall) -> None:
        """Let a finished stream end by itself: a cancellation would look like a lost caller."""
        task = asyncio.get_running_loop().create_task(_ended(rpc))
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)


def _failures(seconds: float) -> Failures:
    """Return what says what a status means, for a call that is given so many seconds from now."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds - _CLOCKS

    def failure(error: grpc.aio.AioRpcError, begun: bool) -> ProviderFault | DeadlineExceeded:
        details = next(
            (value for key, value in error.trailing_metadata() or () if key == _DETAILS_KEY), None
        )
        return llmbase_faults.from_status(
            error.code().name,
            error.details() or "",
            details if isinstance(details, bytes) else None,
            begun=begun,
            out_of_time=loop.time() >= until,
        )

    return failure


async def _ended(rpc: StreamCall) -> None:
    try:
        async with asyncio.timeout(_LINGER):
            await rpc.code()
    except TimeoutError:
        pass
    finally:
        rpc.cancel()
