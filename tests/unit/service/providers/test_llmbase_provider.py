"""Another llmbase as a provider: what it is sent, what comes back, how each wait for it ends."""

import asyncio
import contextlib
import socket
import time

import grpc
import pytest
from google.protobuf import json_format
from llmbase.v1 import chat_completion_pb2 as pb

from service.errors import DeadlineExceeded, FaultKind, ProviderFault
from service.providers.call import Call
from telemetry.trace_context import TraceContext
from tests.support.certificates import self_signed
from tests.unit.service.providers.scripted_llmbase import (
    asking,
    both,
    details,
    fails,
    last,
    listening,
    says,
    stalls,
    text,
    whole,
)

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TWO = pb.RouteFacts(requested_model="theirs", served_model="theirs", provider="acme", attempts=2)
REQUEST = pb.ChatCompletionRequest(
    model="ours",
    messages=[
        pb.Message(
            role=pb.ROLE_USER,
            content=[pb.ContentPart(image_url=pb.ImageUrl(url="https://pictures.example/1.png"))],
        ),
        pb.Message(
            role=pb.ROLE_ASSISTANT,
            provider_state=b"\x00signed",
            tool_calls=[pb.ToolCall(id="c", name="f", arguments="{", provider_state=b"\xff")],
        ),
    ],
    n=2,
    seed=7,
    metadata={"a": "b"},
)


async def _complete(provider, call=None, request=REQUEST):
    call = call or Call("r-1")
    try:
        encoded = provider.encode(request, "theirs", call, stream=False)
        return await provider.complete(encoded, call)
    finally:
        call.close()


async def _open(provider, call=None, request=REQUEST):
    call = call or Call("r-1")
    encoded = provider.encode(request, "theirs", call, stream=True)
    return await provider.stream(encoded, 1, call)


async def _chunks(provider, call=None):
    """All chunks, and what ended them."""
    stream, chunks = await _open(provider, call), []
    try:
        while (chunk := await stream.read()) is not None:
            chunks.append(chunk)
    except (ProviderFault, DeadlineExceeded) as error:
        return chunks, error
    finally:
        stream.close()
    return chunks, None


async def _ask(provider, streamed, call=None):
    return await (_chunks if streamed else _complete)(provider, call)


both_shapes = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])


async def test_the_request_goes_on_as_it_is_but_for_the_models_name():
    async with both(says(whole())) as (far, provider):
        await _complete(provider)
        sent = json_format.MessageToDict(far.requests[0])
    assert sent == json_format.MessageToDict(REQUEST) | {"model": "theirs"}
    assert REQUEST.model == "ours"


@both_shapes
async def test_who_asks_travels_as_metadata(streamed):
    answer = says(text("a"), last()) if streamed else says(whole())
    config = {"api_key": "a-key-of-theirs", "headers": {"X-Cluster": "north"}}
    async with both(answer, **config) as (far, provider):
        await _ask(
            provider, streamed, Call("r-1", fallback=False, trace=TraceContext(PARENT, "vendor=1"))
        )
        await _ask(provider, streamed, Call("r-2"))
    (first, second) = far.metadata
    assert first["authorization"] == "Bearer a-key-of-theirs"
    assert (first["x-request-id"], second["x-request-id"]) == ("r-1", "r-2")
    assert (first["traceparent"], first["x-llmbase-fallback"]) == (PARENT, "off")
    assert first["tracestate"] == "vendor=1"
    assert not {"traceparent", "tracestate", "x-llmbase-fallback"} & set(second)
    assert first["x-cluster"] == "north"
    assert first["user-agent"].startswith("llmbase/1.2.3 ")


@both_shapes
@pytest.mark.parametrize(("callers", "total", "sent"), [(20, 60, 20), (60, 20, 20), (None, 20, 20)])
async def test_they_are_given_the_shorter_of_the_callers_time_and_ours(
    callers, total, sent, streamed
):
    answer = says(text("a"), last()) if streamed else says(whole())
    async with both(answer, timeouts={"total": total}) as (far, provider):
        await _ask(provider, streamed, Call("r", seconds=callers))
    assert sent - 5 < far.seconds[0] <= sent + 0.5


async def test_a_whole_answer_comes_as_it_was_sent_with_their_route():
    given = whole(usage=pb.Usage(total_tokens=9, estimated=True), route=TWO)
    given.choices[0].message.provider_state = b"\x01sealed"
    async with both(says(given)) as (_, provider):
        assert await _complete(provider) == given


async def test_a_stream_comes_as_it_was_sent_and_says_their_route_apart():
    sent = [text("Hel", route=TWO), text("lo"), last(total_tokens=3)]
    async with both(says(*sent)) as (far, provider):
        stream = await _open(provider)
        assert stream.route == TWO
        got = [await stream.read() for _ in range(4)]
        stream.close()
        await far.ended.wait()
    assert got == [text("Hel"), text("lo"), last(total_tokens=3), None]
    assert stream.characters == len("Hello")
    assert not far.cancelled.is_set()


async def test_what_came_before_a_failure_is_given_before_it():
    many = [text(str(i)) for i in range(300)]
    failing = fails(grpc.StatusCode.UNAVAILABLE, details("UPSTREAM_ERROR"), *many)
    async with both(failing) as (far, provider):
        stream = await _open(provider)
        await far.ended.wait()  # a reader that is this slow has lost nothing
        assert [await stream.read() for _ in many] == many
        with pytest.raises(ProviderFault) as raised:
            await stream.read()
        stream.close()
    assert raised.value.kind is FaultKind.REPORTED


async def test_a_stream_that_ends_well_without_its_last_chunk_is_a_cut():
    async with both(says(text("Hel"))) as (_, provider):
        chunks, error = await _chunks(provider)
    assert chunks == [text("Hel")]
    assert error.kind is FaultKind.TRUNCATED


async def test_a_stream_of_nothing_is_a_cut_before_the_first_content():
    async with both(says(pb.ChatCompletionChunk(id="x"))) as (_, provider):
        with pytest.raises(ProviderFault) as raised:
            await _open(provider)
    assert raised.value.kind is FaultKind.TRUNCATED


async def test_a_whole_answer_without_choices_is_none():
    async with both(says(pb.ChatCompletion(id="x"))) as (_, provider):
        with pytest.raises(ProviderFault) as raised:
            await _complete(provider)
    assert raised.value.kind is FaultKind.MALFORMED


@both_shapes
async def test_an_error_is_known_by_its_reason(streamed):
    packed = details("RATE_LIMIT_EXCEEDED", retry=2.5)
    async with both(fails(grpc.StatusCode.RESOURCE_EXHAUSTED, packed)) as (_, provider):
        with pytest.raises(ProviderFault) as raised:
            await _ask(provider, streamed)
    assert raised.value.kind is FaultKind.STATUS
    assert (raised.value.status, raised.value.retry_after) == (429, 2.5)


@both_shapes
@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
async def test_their_giving_up_is_not_taken_for_the_callers(code, streamed):
    async with both(fails(code)) as (_, provider):
        with pytest.raises(ProviderFault) as raised:
            await _ask(provider, streamed)
    assert raised.value.kind is FaultKind.CONNECT


@both_shapes
async def test_a_request_larger_than_a_message_may_be_is_refused_without_being_sent(streamed):
    large = pb.ChatCompletionRequest(messages=[pb.Message(content=[pb.ContentPart(text="x")])])
    large.messages[0].content[0].text = "x" * (65 * 2**20)
    async with both(says(whole())) as (far, provider):
        encoded = provider.encode(large, "theirs", Call("r"), stream=streamed)
        ask = (
            provider.stream(encoded, 1, Call("r")) if streamed else _complete(provider, None, large)
        )
        with pytest.raises(ProviderFault) as raised:
            await ask
        assert far.requests == []
    assert (raised.value.kind, raised.value.status) == (FaultKind.REJECTED, 413)


@both_shapes
async def test_nobody_there_is_no_connection_at_once(streamed):
    async with listening(stalls) as (_, address):
        pass
    async with asking(f"grpc://{address}") as provider:
        began = time.monotonic()
        with pytest.raises(ProviderFault) as raised:
            await _ask(provider, streamed)
    assert raised.value.kind is FaultKind.CONNECT
    assert time.monotonic() - began < 3


@both_shapes
async def test_a_connection_that_does_not_come_about_is_given_up_in_time(streamed):
    # A socket that nobody accepts from takes connections and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"grpc://127.0.0.1:{silent.getsockname()[1]}"
        async with asking(url, timeouts={"connect": 0.3}) as provider:
            began = time.monotonic()
            with pytest.raises(ProviderFault) as raised:
                await _ask(provider, streamed)
            assert time.monotonic() - began < 5
    assert raised.value.kind is FaultKind.CONNECT


async def test_one_that_is_back_is_found_again(tmp_path):
    address = f"unix:{tmp_path}/far.sock"
    async with asking(address) as provider:
        with pytest.raises(ProviderFault):
            await _complete(provider)
        async with listening(says(whole("back")), address), asyncio.timeout(10):
            while True:
                with contextlib.suppress(ProviderFault):
                    answer = await _complete(provider)
                    break
                await asyncio.sleep(0.02)
    assert answer.choices[0].message.content[0].text == "back"


@both_shapes
async def test_first_content_that_does_not_come_is_a_slow_provider(streamed):
    async with both(stalls, timeouts={"first_content": 0.2}) as (far, provider):
        with pytest.raises(ProviderFault) as raised:
            await _ask(provider, streamed)
        await asyncio.wait_for(far.cancelled.wait(), 5)
    assert raised.value.kind is FaultKind.SLOW


@both_shapes
@pytest.mark.parametrize(
    ("callers", "total"), [(0.2, 60), (None, 0.2)], ids=["the caller's", "ours"]
)
async def test_the_end_of_the_time_is_the_end_of_the_call(callers, total, streamed):
    async with both(stalls, timeouts={"total": total}) as (far, provider):
        with pytest.raises(DeadlineExceeded):
            await _ask(provider, streamed, Call("r", seconds=callers))
        await asyncio.wait_for(far.cancelled.wait(), 5)


@both_shapes
async def test_the_end_of_their_own_time_is_a_slow_provider(streamed):
    theirs = fails(grpc.StatusCode.DEADLINE_EXCEEDED, details("DEADLINE_EXCEEDED"))
    async with both(theirs) as (_, provider):
        with pytest.raises(ProviderFault) as raised:
            await _ask(provider, streamed, Call("r", seconds=30))
    assert raised.value.kind is FaultKind.SLOW


async def test_silence_after_the_first_content_is_a_fault_that_says_so():
    async def falls_silent(request, context):
        await context.write(text("Hel"))
        await stalls(request, context)

    async with both(falls_silent, timeouts={"idle": 0.2}) as (far, provider):
        chunks, error = await _chunks(provider)
        await asyncio.wait_for(far.cancelled.wait(), 5)
    assert chunks == [text("Hel")]
    assert error.kind is FaultKind.SLOW


@both_shapes
async def test_a_caller_that_leaves_before_the_answer_cancels_their_call(streamed):
    async with both(stalls) as (far, provider):
        task = asyncio.create_task(_ask(provider, streamed))
        await far.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(far.cancelled.wait(), 5)


async def test_a_stream_that_is_closed_early_cancels_their_call():
    async def goes_on(request, context):
        while True:
            await context.write(text("more"))
            await asyncio.sleep(0)

    async with both(goes_on) as (far, provider):
        stream = await _open(provider)
        await stream.read()
        stream.close()
        await asyncio.wait_for(far.cancelled.wait(), 5)


async def test_an_answer_that_is_over_is_not_kept_waiting_for():
    async def lingers(request, context):
        await context.write(text("Hello"))
        await context.write(last())
        await stalls(request, context)

    async with both(lingers) as (far, provider):
        chunks, error = await _chunks(provider)
        assert (len(chunks), error) == (2, None)
        assert not far.cancelled.is_set()
        await asyncio.wait_for(far.cancelled.wait(), 5)


async def test_a_secret_that_they_repeat_is_not_passed_on():
    async with asking("grpc://127.0.0.1:1", api_key="s3cret-of-ours") as provider:
        assert (
            provider.redact("the key s3cret-of-ours is no good") == "the key [redacted] is no good"
        )


async def test_tls_trusts_the_certificates_that_are_configured(tmp_path):
    key, certificate = self_signed()
    (tmp_path / "ca.pem").write_bytes(certificate)
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    async with listening(says(whole()), credentials=credentials) as (far, address):
        async with asking(f"grpcs://{address}", ca_file=str(tmp_path / "ca.pem")) as provider:
            await _complete(provider)
        async with asking(f"grpcs://{address}") as provider:
            with pytest.raises(ProviderFault) as raised:
                await _complete(provider)
    assert raised.value.kind is FaultKind.CONNECT
    assert len(far.requests) == 1
