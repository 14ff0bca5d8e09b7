"""The scripted provider, which belongs to the conformance kit."""

from __future__ import annotations

from conformance.upstream.scripted_upstream import Exchange, ScriptedUpstream

__all__ = ["Exchange", "ScriptedUpstream"]
