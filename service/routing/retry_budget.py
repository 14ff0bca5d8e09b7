"""What may be asked twice: repeats and hedges are a small share of what was asked once.

A token bucket per provider. Each original fills in a tenth of a token, each repeat or hedge takes
one. What is left over from a quiet hour does not pay for a storm: the bucket is small.
"""

from __future__ import annotations

SHARE = 0.1  # of originals
_MOST = 10.0  # tokens: what a caller of few requests has at once, and what is saved at most


class RetryBudget:
    """Of one provider."""

    __slots__ = ("level",)

    def __init__(self) -> None:
        self.level = _MOST

    def deposit(self) -> None:
        """An original was sent."""
        level = self.level + SHARE
        self.level = level if level < _MOST else _MOST

    def withdraw(self) -> bool:
        """Take a token for a repeat or a hedge; False when there is none."""
        # A tenth ten times is not quite one.
        if self.level < 1 - 1e-9:
            return False
        self.level -= 1
        return True

    def give_back(self) -> None:
        """What a token was taken for did not happen."""
        self.level = min(_MOST, self.level + 1)


class ImaginedBudget:
    """One as a dry run imagines it: spent from by this run, too, and otherwise as it is."""

    __slots__ = ("_budget", "_spent")

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self._spent = 0

    @property
    def level(self) -> float:
        """What there would be left, in attempts."""
        return self._budget.level - self._spent

    def deposit(self) -> None:
        """Nothing is sent."""

    def withdraw(self) -> bool:
        """Imagine a token taken."""
        self._spent += 1
        return True

    def give_back(self) -> None:
        """A dry run does not know better."""
