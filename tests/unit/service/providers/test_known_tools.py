"""What is kept of tools is theirs alone, and never more than it may be."""

from __future__ import annotations

import orjson
import pytest
from llmbase.v1 import chat_completion_pb2 as pb

from service.config import ProviderConfig
from service.errors import InvalidRequest
from service.providers.dialects import DIALECTS
from service.providers.dialects.openai import OpenAiDialect
from service.providers.known_tools import known
from service.rpc import validation

LARGE = "x" * 70_000


def request(*tools: pb.Tool) -> pb.ChatCompletionRequest:
    said = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])
    return pb.ChatCompletionRequest(model="m", messages=[said], tools=tools)


def written(dialect: str, *tools: pb.Tool) -> list[dict[str, object]]:
    body = DIALECTS[dialect].build(ProviderConfig(dialect=dialect))
    encoded = body.encode(request(*tools), "m", stream=False).body
    found: list[dict[str, object]] = orjson.loads(encoded)["tools"]
    return found


def test_the_same_tools_are_known_when_they_come_again() -> None:
    assert known([pb.Tool(name="f", parameters="{}")]) is known(
        [pb.Tool(name="f", parameters="{}")]
    )


@pytest.mark.parametrize(
    "other",
    [
        [pb.Tool(name="f"), pb.Tool(description="d")],  # one after the other they are the same text
        [pb.Tool(name="f", description="d", strict=False)],
        [pb.Tool(name="f", description="d", parameters="")],
        [pb.Tool(name="f", description="d")] * 2,
        [],
    ],
)
def test_other_tools_are_others(other: list[pb.Tool]) -> None:
    assert known(other) is not known([pb.Tool(name="f", description="d")])


def test_the_last_sixty_four_sets_are_kept() -> None:
    first = known([pb.Tool(name="t0")])
    for i in range(1, 64):
        known([pb.Tool(name=f"t{i}")])
    second = known([pb.Tool(name="t1")])
    assert known([pb.Tool(name="t0")]) is first
    known([pb.Tool(name="t64")])  # for which the one goes that has not come for longest: t2

    assert known([pb.Tool(name="t0")]) is first
    assert known([pb.Tool(name="t1")]) is second


def test_a_set_goes_when_sixty_four_others_have_come() -> None:
    first = known([pb.Tool(name="t")])
    for i in range(64):
        known([pb.Tool(name=f"t{i}")])

    assert known([pb.Tool(name="t")]) is not first


@pytest.mark.parametrize(
    "tools",
    [
        [pb.Tool(name="f", description=LARGE)],
        [pb.Tool(name=f"f{i}", description=LARGE[:1000]) for i in range(80)],
        [pb.Tool()] * 129,
    ],
)
def test_what_is_large_is_not_kept(tools: list[pb.Tool]) -> None:
    assert known(tools) is not known(tools)
    assert known(tools).characters == sum(len(it.name) + len(it.description) for it in tools)


def test_a_text_that_is_much_more_than_its_tools_is_not_kept() -> None:
    tools = known([pb.Tool(name="f", description="\x00" * 20_000)])
    text = orjson.dumps(["\x00" * 20_000])

    assert orjson.dumps(tools.keep(None, text)) == text
    assert tools.written(None) is None


def test_tools_that_break_a_rule_break_it_again() -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="must be an object"):
            validation.check(request(pb.Tool(name="f", parameters="[]")))


def test_tools_of_one_call_are_chosen_by_another_with_the_same() -> None:
    for _ in range(2):
        asked = request(pb.Tool(name="f"))
        asked.tool_choice.function = "g"
        with pytest.raises(InvalidRequest, match="must be the name of one of the tools"):
            validation.check(asked)
        asked.tool_choice.function = "f"
        validation.check(asked)


def test_each_provider_has_them_in_its_own_spelling() -> None:
    plain, mistral = (
        [{"type": "function", "function": {"name": "f"}}],
        [
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
            }
        ],
    )
    for _ in range(2):
        assert written("openai", pb.Tool(name="f")) == plain
        assert written("mistral", pb.Tool(name="f")) == mistral


def test_they_are_written_the_second_time_as_the_first() -> None:
    asked = request(pb.Tool(name="f", parameters='{"a": 1e0, "b": [ ]}', strict=True))
    first, second = (OpenAiDialect().encode(asked, "m", stream=False).body for _ in range(2))

    assert first == second
    assert b'"parameters":{"a": 1e0, "b": [ ]}' in first
