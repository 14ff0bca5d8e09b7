"""What a scripted provider is told to do; it belongs to the conformance kit."""

from __future__ import annotations

from conformance.upstream.scripts import (
    Exchange,
    Framing,
    Piece,
    Plan,
    Request,
    Script,
    Step,
    cut,
    drip,
    hold,
    pause,
    raw,
    reset,
    stall,
)

__all__ = [
    "Exchange",
    "Framing",
    "Piece",
    "Plan",
    "Request",
    "Script",
    "Step",
    "cut",
    "drip",
    "hold",
    "pause",
    "raw",
    "reset",
    "stall",
]
