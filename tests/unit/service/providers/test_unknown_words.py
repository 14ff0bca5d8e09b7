"""What no dialect knows is counted every time, and logged once, as far as it is a word."""

from __future__ import annotations

import logging

import pytest

from service.providers.unknown_words import UnknownWords
from telemetry.metrics import PROVIDER_UNKNOWN, Metrics


class _Counts(Metrics):
    def __init__(self) -> None:
        super().__init__({})
        self.seen: list[dict[str, str]] = []

    def count(self, metric, amount=1, **labels):  # type: ignore[no-untyped-def]
        assert metric is PROVIDER_UNKNOWN
        self.seen.append(labels)


@pytest.fixture
def metrics() -> _Counts:
    return _Counts()


def test_each_is_counted_and_a_word_is_logged_once(
    metrics: _Counts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    words = UnknownWords("acme", metrics)
    for _ in range(3):
        words("event", "novelty")
    words("enum", "novelty")
    assert metrics.seen == [{"provider": "acme", "kind": "event"}] * 3 + [
        {"provider": "acme", "kind": "enum"}
    ]
    logged = [(it.provider, it.kind, it.word) for it in caplog.records]  # type: ignore[attr-defined]
    assert logged == [("acme", "event", "novelty"), ("acme", "enum", "novelty")]


@pytest.mark.parametrize(
    "text",
    [
        "two words",
        "x" * 49,
        "",
        "na\nme",
        "name\n",
        "mot français",
        "llmbase_some-key-of-a-caller",
        "3f9c0a1b7d",
        "secret-of-2024",
    ],
)
def test_what_could_be_somebodys_text_is_not_repeated(
    metrics: _Counts, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    caplog.set_level(logging.INFO)
    UnknownWords("acme", metrics)("event", text)
    assert [it.word for it in caplog.records] == ["(not a word)"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", ["end_turn", "MAX_TOKENS", "contentBlockDelta", "response.v2"])
def test_what_a_machine_says_is_a_word(
    metrics: _Counts, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    caplog.set_level(logging.INFO)
    UnknownWords("acme", metrics)("event", word)
    assert [it.word for it in caplog.records] == [word]  # type: ignore[attr-defined]


def test_a_provider_cannot_fill_the_log_or_the_memory(
    metrics: _Counts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    words = UnknownWords("acme", metrics)
    for number in range(1000):
        words("event", f"novelty{number}")
    assert len(metrics.seen) == 1000
    assert len(caplog.records) == 64
