"""The one loop: who is asked next, what the caller is told, what an answer says of its route."""

import random
import time

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ModelConfig
from service.errors import (
    AllProvidersFailed,
    DeadlineExceeded,
    FaultKind,
    FieldViolation,
    InvalidRequest,
    ProviderFault,
    RejectedByProvider,
    UpstreamError,
    UpstreamStalled,
    UpstreamTruncated,
)
from service.providers.call import Call
from service.providers.dialects.dialect import HttpRequest
from service.routing.board import Board
from service.routing.dispatcher import Dispatcher
from service.routing.router import Router
from telemetry.metrics import PROVIDER_ALERTS, Metrics
from tests.support.metrics_page import counted


class _Stream:
    """Gives its items, raising those that are errors."""

    route = None

    def __init__(self, *items):
        self._items = list(items)
        self.characters = 0
        self.closed = False

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


class _Provider:
    """Answers with what it is given; counts how often it is asked."""

    images = None
    waited_for = staticmethod(lambda call: None)

    def __init__(self, name, answer):
        self.name = name
        self.ignored = ()
        self._answer = answer
        self.asked = []

    def encode(self, request, model, call, *, stream):
        return HttpRequest("/chat", model.encode(), ignored=self.ignored)

    def redact(self, told):
        return told.replace("secret", "[redacted]")

    async def complete(self, http, call):
        self.asked.append(http.body.decode())
        self.waited_for(call)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def stream(self, http, choices, call):
        return await self.complete(http, call)


MODELS = {
    "m": {"targets": [{"provider": "a", "model": "x"}, {"provider": "b"}], "fallbacks": ["n"]},
    "n": {"targets": [{"provider": "c"}]},
}
REQUEST = pb.ChatCompletionRequest(
    model="m", messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi there")])]
)
FAULTS = [kind for kind in FaultKind if kind is not FaultKind.REJECTED]


def _fault(kind=FaultKind.STATUS, **fields):
    return ProviderFault(kind, "detail", **fields)


def _whole(text="hello you"):
    message = pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text=text)])
    return pb.ChatCompletion(
        choices=[pb.Choice(message=message, finish_reason=pb.FINISH_REASON_STOP)]
    )


def _dispatcher(a, b=None, c=None, metrics=None):
    answers = {"a": a, "b": b or _fault(), "c": c or _fault()}
    providers = {name: _Provider(name, answer) for name, answer in answers.items()}
    models = {key: ModelConfig.model_validate(model) for key, model in MODELS.items()}
    return _over(models, providers, metrics), providers


def _over(models, providers, metrics=None):
    chance = random.Random(1)
    router = Router(models, providers, Board({}, time.monotonic, chance))
    return Dispatcher(router, lambda: 1741000000.9, time.monotonic, chance, metrics or Metrics({}))


@pytest.mark.parametrize("kind", FAULTS)
async def test_whatever_fails_before_the_first_content_the_next_target_answers(kind):
    dispatcher, providers = _dispatcher(_fault(kind), _whole())
    completion = await dispatcher.complete(REQUEST, Call("id"))
    assert completion.route == pb.RouteFacts(
        requested_model="m", served_model="m", provider="b", attempts=2
    )
    assert (providers["a"].asked, providers["b"].asked) == (["x"], ["m"])
    assert completion.model == "m"
    assert completion.created == 1741000000
    assert len(completion.id) == len("chatcmpl-") + 24
    assert completion.id.startswith("chatcmpl-")


async def test_a_request_that_a_provider_refuses_is_not_tried_elsewhere():
    rejected = _fault(FaultKind.REJECTED, status=400, told="max_tokens is too large, secret")
    dispatcher, providers = _dispatcher(rejected, _whole())
    with pytest.raises(RejectedByProvider, match=r"max_tokens is too large, \[redacted\]"):
        await dispatcher.complete(REQUEST, Call("id"))
    assert providers["b"].asked == []


async def test_the_fields_that_a_provider_names_are_passed_on():
    named = (FieldViolation("seed", "must not be secret"),)
    dispatcher, _ = _dispatcher(_fault(FaultKind.REJECTED, told="no", violations=named))
    with pytest.raises(RejectedByProvider) as raised:
        await dispatcher.complete(REQUEST, Call("id"))
    assert raised.value.violations == (FieldViolation("seed", "must not be [redacted]"),)


async def test_an_answer_that_has_a_route_already_has_both_routes():
    theirs = pb.RouteFacts(requested_model="x", served_model="x", provider="acme", attempts=2)
    both = pb.RouteFacts(requested_model="m", served_model="m", provider="b/acme", attempts=3)
    whole = _whole()
    whole.route.CopyFrom(theirs)
    dispatcher, _ = _dispatcher(_fault(), whole)
    assert (await dispatcher.complete(REQUEST, Call("id"))).route == both

    stream = _Stream(_text("a"), _last())
    stream.route = theirs
    dispatcher, _ = _dispatcher(_fault(), stream)
    answer = await dispatcher.stream(REQUEST, Call("id"))
    assert (await answer.read()).route == both
    assert (await answer.read()).model == "m"


async def test_the_deadline_ends_the_loop():
    dispatcher, providers = _dispatcher(DeadlineExceeded("late"), _whole())
    with pytest.raises(DeadlineExceeded):
        await dispatcher.complete(REQUEST, Call("id"))
    assert providers["b"].asked == []


async def test_when_all_fail_the_shortest_wait_is_told():
    dispatcher, _ = _dispatcher(
        _fault(retry_after=30), _fault(retry_after=5), _fault(FaultKind.CONNECT)
    )
    with pytest.raises(AllProvidersFailed) as raised:
        await dispatcher.complete(REQUEST, Call("id"))
    assert raised.value.retry_after == 5
    assert raised.value.facts == {"attempts": "3"}


async def test_when_no_provider_says_how_long_there_is_a_wait_all_the_same():
    dispatcher, _ = _dispatcher(_fault(FaultKind.CONNECT))
    with pytest.raises(AllProvidersFailed) as raised:
        await dispatcher.complete(REQUEST, Call("id"))
    assert raised.value.retry_after == 1


async def test_a_fallback_model_answers_in_its_own_name():
    dispatcher, _ = _dispatcher(_fault(), _fault(), _whole())
    completion = await dispatcher.complete(REQUEST, Call("id"))
    assert completion.model == "n"
    assert completion.route.fallback_applied
    assert completion.route.fallback_reason == "model_unavailable"
    assert list(completion.route.fallback_chain) == ["m", "n"]
    assert completion.route.attempts == 3


async def test_a_caller_that_forbids_fallback_gets_none():
    dispatcher, providers = _dispatcher(_fault(), _fault(), _whole())
    with pytest.raises(AllProvidersFailed):
        await dispatcher.complete(REQUEST, Call("id", may_serve=lambda model: False))
    assert providers["c"].asked == []


async def test_usage_that_a_provider_does_not_give_is_estimated_and_says_so():
    dispatcher, _ = _dispatcher(_whole("12345678"))
    usage = (await dispatcher.complete(REQUEST, Call("id"))).usage
    assert usage.estimated
    assert usage.completion_tokens == 2
    assert usage.prompt_tokens > 2
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def test_usage_that_a_provider_gives_is_kept():
    whole = _whole()
    whole.usage.CopyFrom(pb.Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3))
    dispatcher, _ = _dispatcher(whole)
    assert (await dispatcher.complete(REQUEST, Call("id"))).usage == pb.Usage(
        prompt_tokens=1, completion_tokens=2, total_tokens=3
    )


def _text(text):
    return pb.ChatCompletionChunk(choices=[pb.ChoiceDelta(content=text)])


def _last():
    finish = pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP)
    return pb.ChatCompletionChunk(choices=[finish], last=True)


async def test_every_chunk_of_a_stream_has_one_id_and_only_the_first_the_route():
    dispatcher, _ = _dispatcher(_fault(), _Stream(_text("a"), _text("b"), _last()))
    answer = await dispatcher.stream(REQUEST, Call("id"))
    chunks = [await answer.read() for _ in range(3)]
    assert await answer.read() is None
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert [chunk.HasField("route") for chunk in chunks] == [True, False, False]
    assert [chunk.HasField("usage") for chunk in chunks] == [False, False, True]
    assert chunks[0].route.provider == "b"
    assert chunks[0].route.attempts == 2
    assert answer.usage.estimated


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.TRUNCATED, UpstreamTruncated),
        (FaultKind.SLOW, UpstreamStalled),
        (FaultKind.MALFORMED, UpstreamError),
        (FaultKind.REPORTED, UpstreamError),
        (FaultKind.STATUS, UpstreamError),
        (FaultKind.REJECTED, UpstreamError),
        (FaultKind.CONNECT, UpstreamError),
    ],
)
async def test_after_the_first_content_a_fault_is_a_typed_error_and_nobody_else_is_asked(
    kind, error
):
    stream = _Stream(_text("12345678"), _fault(kind))
    dispatcher, providers = _dispatcher(stream, _whole())
    answer = await dispatcher.stream(REQUEST, Call("id"))
    await answer.read()
    with pytest.raises(error):
        await answer.read()
    assert providers["b"].asked == []
    assert answer.usage.completion_tokens == 2
    answer.close()
    assert stream.closed


def _with_policy(policy, a_ignores=(), b_ignores=()):
    _, providers = _dispatcher(_whole("a"), _whole("b"))
    providers["a"].ignored, providers["b"].ignored = a_ignores, b_ignores
    models = {"m": {**MODELS["m"], "parameters": policy}, "n": MODELS["n"]}
    configs = {key: ModelConfig.model_validate(model) for key, model in models.items()}
    return _over(configs, providers), providers


@pytest.mark.parametrize(("policy", "named"), [("warn", ["seed"]), ("drop", [])])
async def test_what_a_target_cannot_honour_is_left_out_and_named_as_the_policy_says(policy, named):
    dispatcher, _ = _with_policy(policy, a_ignores=("seed",))
    completion = await dispatcher.complete(REQUEST, Call("id"))
    assert list(completion.route.ignored_parameters) == named


async def test_strict_goes_to_a_target_that_honours_everything():
    dispatcher, providers = _with_policy("strict", a_ignores=("seed",))
    completion = await dispatcher.complete(REQUEST, Call("id"))
    assert completion.route.provider == "b"
    assert providers["a"].asked == []


async def test_strict_refuses_before_anything_is_sent_when_no_target_honours_it():
    dispatcher, providers = _with_policy("strict", ("seed",), ("user", "seed"))
    providers["c"].ignored = ("seed",)
    models_asked = [provider.asked for provider in providers.values()]
    with pytest.raises(InvalidRequest) as raised:
        await dispatcher.complete(REQUEST, Call("id", may_serve=lambda model: False))
    assert raised.value.violations[0].field == "seed"
    assert models_asked == [[], [], []]


@pytest.mark.parametrize("policy", ["warn", "drop", "strict"])
async def test_fewer_choices_than_asked_for_are_no_answer_under_any_policy(policy):
    dispatcher, _ = _with_policy(policy, a_ignores=("n",))
    assert (await dispatcher.complete(REQUEST, Call("id"))).route.provider == "b"


async def test_an_attempt_that_fails_for_our_credentials_is_an_alert():
    metrics = Metrics({"provider": "abc", "status": ["401", "403"]})
    answers = (_fault(FaultKind.STATUS, status=status) for status in (401, 403, 500))
    dispatcher, _ = _dispatcher(*answers, metrics=metrics)
    with pytest.raises(AllProvidersFailed):
        await dispatcher.complete(REQUEST, Call("id"))
    assert counted(metrics.render(), PROVIDER_ALERTS.name) == {("a", "401"): 1, ("b", "403"): 1}
