"""What the pure stages of an answer cost, one by one: microseconds, the best of some rounds.

    .venv/bin/python -m tests.bench.stages

The first part is for a request of `questions.py`, the second for a piece of its streamed answer,
which comes in reads of so many events (`--batch`). Nothing waits and nothing else runs, so this is
less than a profile of the whole says, and less than a server with cold caches pays.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable

from llmbase.v1.chat_completion_pb2 import ChatCompletionChunk

from gateway.transcoding.answers import completion_to_json
from gateway.transcoding.chunks import StreamRenderer
from gateway.transcoding.request import request_from_json
from service.config import ModelConfig, TargetConfig
from service.providers import estimate
from service.providers.dialects.dialect import Event
from service.providers.dialects.openai import OpenAiDialect
from service.routing import capability
from service.rpc import validation
from tests.bench import provider_wire, questions
from tests.bench.questions import MODEL, UPSTREAM_MODEL, Question

_DIALECT = OpenAiDialect()
_PIECES = 192


def request_stages(rounds: int) -> dict[str, float]:
    """Return what each stage of one unary answer costs."""
    question = Question(1234, 1, 0)
    body = questions.body(question, stream=False)
    answer = provider_wire.whole(question).partition(b"\r\n\r\n")[2]
    request, _, _ = request_from_json(body)
    seen = validation.check(request)
    completion = _DIALECT.decode(answer)
    model = ModelConfig(
        targets=(TargetConfig(provider="acme", model=UPSTREAM_MODEL),),
        supported_features=("tools",),
    )
    stages: dict[str, Callable[[], object]] = {
        "request_from_json": lambda: request_from_json(body),
        "validation.check": lambda: validation.check(request),
        "capability.check": lambda: capability.check(request, MODEL, model, seen),
        "estimate.prompt_tokens": lambda: estimate.prompt_tokens(request, seen),
        "encode": lambda: _DIALECT.encode(request, UPSTREAM_MODEL, stream=False, seen=seen),
        "decode": lambda: _DIALECT.decode(answer),
        "completion_to_json": lambda: completion_to_json(completion),
    }
    return {name: _best(stage, rounds, 20) for name, stage in stages.items()}


def stream_stages(rounds: int, batch: int) -> dict[str, float]:
    """Return what each stage of a stream costs for one piece of text, which is one event."""
    frames = provider_wire.Frames(Question(1234, _PIECES, 0))
    events = [frames.piece(place).split(b"\r\n")[1] for place in range(_PIECES)]
    reads = [b"".join(events[at : at + batch]) for at in range(0, _PIECES, batch)]
    framed = _feed(reads)
    chunks = _decode(framed)
    stages: dict[str, Callable[[], object]] = {
        "framer.feed": lambda: _feed(reads),
        "decode": lambda: _decode(framed),
        "estimate.delta_characters": lambda: _count(chunks),
        "render": lambda: _render(chunks),
    }
    return {name: _best(stage, rounds, 1) / _PIECES for name, stage in stages.items()}


def _feed(reads: list[bytes]) -> list[list[Event]]:
    framer = _DIALECT.framer()
    return [framer.feed(data) for data in reads]


def _decode(reads: list[list[Event]]) -> list[ChatCompletionChunk]:
    decoder = _DIALECT.decode_stream()
    chunks = []
    for events in reads:
        chunk = ChatCompletionChunk(id="chatcmpl-1234", created=1_790_000_000, model=MODEL)
        for event in events:
            decoder.decode(event, chunk)
        chunks.append(chunk)
    return chunks


def _count(chunks: list[ChatCompletionChunk]) -> int:
    characters = 0
    for chunk in chunks:
        for delta in chunk.choices[:]:
            characters += estimate.delta_characters(delta)
    return characters


def _render(chunks: list[ChatCompletionChunk]) -> list[bytes]:
    renderer = StreamRenderer()
    return [renderer.render(chunk) for chunk in chunks]


def _best(stage: Callable[[], object], rounds: int, times: int) -> float:
    """Return the microseconds of one call, in the best of so many rounds of so many calls."""
    best = float("inf")
    stage()
    gc.disable()  # what it would cost depends on what else lives
    try:
        for _ in range(rounds):
            began = time.perf_counter()
            for _ in range(times):
                stage()
            best = min(best, time.perf_counter() - began)
    finally:
        gc.enable()
    return best / times * 1e6


def main() -> None:
    """Print a line for every stage, and one for the whole of each kind of answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--batch", type=int, default=16, help="events in a read of a stream")
    chosen = parser.parse_args()
    for title, costs in (
        ("a request and its answer", request_stages(chosen.rounds)),
        (
            f"a piece of a stream, {chosen.batch} to a read",
            stream_stages(chosen.rounds, chosen.batch),
        ),
    ):
        print(f"{title}, in microseconds")
        for name, cost in [*costs.items(), ("together", sum(costs.values()))]:
            print(f"  {name.ljust(26)}{cost:9.2f}")


if __name__ == "__main__":
    main()
