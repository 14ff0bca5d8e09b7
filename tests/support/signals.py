"""Events that cross threads; they belong to the conformance kit."""

from __future__ import annotations

from conformance.upstream.signals import Signal

__all__ = ["Signal"]
