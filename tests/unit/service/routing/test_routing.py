"""Who could answer, and in which order: pure functions of the configuration, and chance."""

import asyncio
import random

import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ModelConfig
from service.errors import ModelNotFound, UnsupportedCapability
from service.providers.call import Call
from service.routing import capability
from service.routing.board import Board
from service.routing.plan import Plan
from service.routing.router import Router


class _Provider:
    def __init__(self, name):
        self.name = name


def _router(models):
    providers = {name: _Provider(name) for name in "abc"}
    return Router(
        {key: ModelConfig.model_validate(model) for key, model in models.items()},
        providers,
        Board({}, lambda: 0.0, random.Random(1)),
    )


def _anyone(model_id):
    return True


def _candidates(models, request, may_serve=_anyone):
    call = Call("id", may_serve=may_serve, loop=asyncio.AbstractEventLoop())
    plan = Plan(_router(models), request, call, stream=False, draw=1)
    found = []
    while (step := plan.next()) is not None:
        it = step.candidate
        found.append((it.model_id, it.provider.name, it.provider_model))
    return found


def _asks(model, **fields):
    return pb.ChatCompletionRequest(model=model, **fields)


TWO = {"m": {"targets": [{"provider": "a", "model": "x"}, {"provider": "b"}]}}


def test_targets_come_as_listed_and_a_missing_name_is_the_models_id():
    assert _candidates(TWO, _asks("m")) == [("m", "a", "x"), ("m", "b", "m")]


def test_max_attempts_bounds_the_targets():
    models = {"m": {**TWO["m"], "max_attempts": 1}}
    assert _candidates(models, _asks("m")) == [("m", "a", "x")]


def test_a_wildcard_stands_for_the_name_at_the_provider_and_the_longest_wins():
    models = {
        "groq/*": {"targets": [{"provider": "a"}]},
        "groq/qwen/*": {"targets": [{"provider": "b"}]},
        "groq/one": {"targets": [{"provider": "c"}]},
    }
    assert _candidates(models, _asks("groq/llama-3")) == [("groq/llama-3", "a", "llama-3")]
    assert _candidates(models, _asks("groq/qwen/3")) == [("groq/qwen/3", "b", "3")]
    assert _candidates(models, _asks("groq/one")) == [("groq/one", "c", "groq/one")]


@pytest.mark.parametrize(
    "model_id", ["none", "groq/", "groq/*", "groq/a b", "groq/é", "", "g" * 999]
)
def test_what_is_no_model_is_not_found(model_id):
    models = {"groq/*": {"targets": [{"provider": "a"}]}}
    with pytest.raises(ModelNotFound) as raised:
        _candidates(models, _asks(model_id))
    assert len(str(raised.value)) < 300


def test_fallback_models_follow_when_they_can_and_may_serve():
    models = {
        "m": {
            "targets": [{"provider": "a"}],
            "fallbacks": ["n", "o"],
            "supported_features": ["tools"],
        },
        "n": {"targets": [{"provider": "b"}]},
        "o": {"targets": [{"provider": "c"}], "supported_features": ["tools"]},
    }
    plain, tools = _asks("m"), _asks("m", tools=[pb.Tool(name="f")])
    assert [c[0] for c in _candidates(models, plain)] == ["m", "n", "o"]
    assert [c[0] for c in _candidates(models, tools)] == ["m", "o"]
    assert [c[0] for c in _candidates(models, plain, lambda m: m != "n")] == ["m", "o"]


def _schema():
    return pb.ResponseFormat(json_schema=pb.JsonSchema(name="x"))


def _object():
    return pb.ResponseFormat(json_object=pb.ResponseFormat.JsonObject())


def _image():
    part = pb.ContentPart(image_url=pb.ImageUrl(url="https://e.com/a"))
    return [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="a"), part])]


GATE = [
    ({"tools": [pb.Tool(name="f")]}, {"supported_features": ["tools"]}, "tools"),
    ({"response_format": _object()}, {"supported_features": ["json_mode"]}, "response_format"),
    (
        {"response_format": _object()},
        {"supported_features": ["structured_outputs"]},
        "response_format",
    ),
    (
        {"response_format": _schema()},
        {"supported_features": ["structured_outputs"]},
        "response_format",
    ),
    ({"logprobs": True}, {"supported_features": ["logprobs"]}, "logprobs"),
    (
        {"reasoning_effort": pb.REASONING_EFFORT_LOW},
        {"supported_parameters": ["reasoning_effort"]},
        "reasoning_effort",
    ),
    ({"messages": _image()}, {"input_modalities": ["text", "image"]}, "messages[0].content[1]"),
]


@pytest.mark.parametrize(("fields", "advertises", "field"), GATE)
def test_what_a_model_does_not_advertise_is_refused_by_the_name_of_the_field(
    fields, advertises, field
):
    targets = {"targets": [{"provider": "a"}]}
    request = _asks("m", **fields)
    capability.check(request, "m", ModelConfig.model_validate(targets | advertises))
    with pytest.raises(UnsupportedCapability) as raised:
        capability.check(request, "m", ModelConfig.model_validate(targets))
    assert raised.value.violations[0].field == field


def test_json_mode_is_not_enough_for_a_schema():
    model = ModelConfig.model_validate(
        {"targets": [{"provider": "a"}], "supported_features": ["json_mode"]}
    )
    assert not capability.allows(_asks("m", response_format=_schema()), "m", model)


def test_no_tools_and_logprobs_off_need_nothing():
    model = ModelConfig.model_validate({"targets": [{"provider": "a"}]})
    assert capability.allows(_asks("m", tools=[], logprobs=False), "m", model)


def test_a_models_targets_are_made_once_and_those_of_a_callers_own_names_are_not_kept():
    router = _router(
        {"one": {"targets": [{"provider": "a"}]}, "x/*": {"targets": TWO["m"]["targets"]}}
    )

    def asked(model_id):
        return router.candidates(model_id, 0.0, stream=False, draw=1, session=None)

    assert asked("one")[0] is asked("one")[0]
    names = [it.provider_model for i in range(9) for it in asked(f"x/{i}")]
    assert names == [name for i in range(9) for name in ("x", str(i))]
    assert list(router._candidates) == ["one"]
