"""The table of what spans say, and that the documentation says the same."""

import re
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, rpc_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from telemetry import spans
from telemetry.spans import ATTRIBUTES, Attribute

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
CONVENTIONS = (
    gen_ai_attributes,
    rpc_attributes,
    error_attributes,
    http_attributes,
    server_attributes,
)


def test_the_documentation_lists_them() -> None:
    text = PAGE.read_text(encoding="utf-8")
    part = text[text.index("## Traces\n") : text.index("## Metrics\n")]
    rows = re.findall(r"^\| (`.*) \|$", part, re.MULTILINE)
    assert rows == [f"`{it.name}` | {', '.join(it.spans)} | {it.help}" for it in ATTRIBUTES]
    assert f"`{spans.FIRST_CONTENT}`" in part


def test_every_attribute_is_in_the_table_once() -> None:
    every = [it for it in vars(spans).values() if isinstance(it, Attribute)]
    assert sorted(it.name for it in every) == sorted(it.name for it in ATTRIBUTES)


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda attribute: attribute.name)
def test_a_name_is_the_conventions_or_says_that_it_is_ours(attribute: Attribute) -> None:
    values = [value for module in CONVENTIONS for value in vars(module).values()]
    known = {value for value in values if isinstance(value, str)}
    assert attribute.name.startswith("llmbase.") != (attribute.name in known)
