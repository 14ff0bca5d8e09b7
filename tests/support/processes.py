"""Programs as processes of their own; starting them belongs to the conformance kit."""

from __future__ import annotations

from conformance.processes import Process, running

__all__ = ["Process", "running"]
