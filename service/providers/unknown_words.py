"""Counts what a provider sent that no dialect knew, and names it in the log the first time."""

from __future__ import annotations

import logging
import re

from service.providers.dialects.unknown import Kind
from service.providers.http_faults import redact
from telemetry.metrics import PROVIDER_UNKNOWN, Metrics

_LOG = logging.getLogger("llmbase.providers")
# A machine's word. Anything else is not repeated: it may be somebody's text or, with digits, a key.
_WORD = re.compile(r"(?=.{1,48}\Z)(?:[A-Za-z_.:/-]*[0-9]){0,2}[A-Za-z_.:/-]*")
_MOST = 64  # words of a provider that are remembered, and so logged


class UnknownWords:
    """One provider's. Called with each, as `OnUnknown`."""

    def __init__(self, provider: str, metrics: Metrics) -> None:
        self._provider = provider
        self._metrics = metrics
        self._seen: set[tuple[Kind, str]] = set()

    def __call__(self, kind: Kind, word: str) -> None:
        """Count it; the first time log it, if it can be."""
        self._metrics.count(PROVIDER_UNKNOWN, provider=self._provider, kind=kind)
        known = _WORD.fullmatch(word) and redact(word, ()) == word
        shown = word if known else "(not a word)"
        if (kind, shown) in self._seen or len(self._seen) >= _MOST:
            return
        self._seen.add((kind, shown))
        _LOG.info("unknown to us", extra={"provider": self._provider, "kind": kind, "word": shown})
