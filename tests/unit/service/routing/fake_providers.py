"""Providers for tests of routing in virtual time: each answers as a function says, after a time."""

from __future__ import annotations

import asyncio
import itertools
import random

from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ModelConfig, ProviderConfig
from service.errors import FaultKind, ProviderFault
from service.providers.dialects.dialect import HttpRequest
from service.routing.board import Board
from service.routing.dispatcher import Dispatcher
from service.routing.router import Router
from telemetry.metrics import Metrics

REQUEST = pb.ChatCompletionRequest(
    model="m", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi there")])]
)


def fault(kind=FaultKind.STATUS, **fields):
    return ProviderFault(kind, "detail", **fields)


def whole(text="hello"):
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text=text)])
    return pb.ChatCompletion(
        choices=[pb.Choice(message=message, finish_reason=pb.FINISH_REASON_STOP)]
    )


class FakeStream:
    """Gives its items, raising those that are errors."""

    def __init__(self, *items):
        self._items = list(items)
        self.characters = 0
        self.closed = False
        self.route = None

    async def read(self):
        if not self._items:
            return None
        item = self._items.pop(0)
        if isinstance(item, Exception):
            raise item
        self.characters += sum(len(delta.content) for delta in item.choices)
        return item

    def close(self):
        self.closed = True


class FakeProvider:
    """`behave(n)` gives, for the n-th time it is asked, (seconds, answer or error)."""

    images = None

    def __init__(self, name, behave):
        self.name = name
        self._behave = behave
        self.asked = 0
        self.cancelled = 0
        self.requests = []

    def encode(self, request, model, call, *, stream):
        self.requests.append(request)
        return HttpRequest("/chat", model.encode())

    def redact(self, told):
        return told

    async def complete(self, http, call):
        seconds, answer = self._behave(self.asked)
        self.asked += 1
        call.sent = True
        try:
            with call.wait:
                await asyncio.sleep(seconds)
        except BaseException:
            self.cancelled += 1
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stream(self, http, choices, call):
        return await self.complete(http, call)


def always(seconds, answer):
    """The same each time; an answer that is a function is called."""
    return lambda n: (seconds, answer() if callable(answer) else answer)


def dispatcher(models, breaker=None, **behaviours):
    """Needs a running loop, whose clock is the only one. Returns dispatcher, providers, board."""
    clock = asyncio.get_running_loop().time
    providers = {name: FakeProvider(name, behave) for name, behave in behaviours.items()}
    configs = {
        name: ProviderConfig(dialect="openai", base_url="http://a", breaker=breaker or {})
        for name in providers
    }
    board = Board(configs, clock, random.Random(1))
    known = {key: ModelConfig.model_validate(model) for key, model in models.items()}
    router = Router(known, providers, board)
    made = Dispatcher(router, itertools.count(1000).__next__, clock, random.Random(2), Metrics({}))
    return made, providers, board
