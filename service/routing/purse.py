"""What one call takes from the retry budgets of its providers."""

from __future__ import annotations

from service.routing.board import ProviderState


class Purse:
    """Pays from the budgets themselves."""

    def level(self, payer: ProviderState) -> float:
        """Return what there is left, in attempts."""
        return payer.budget.level

    def pay(self, payer: ProviderState) -> None:
        """Take an attempt's token."""
        payer.budget.withdraw()

    def give_back(self, payer: ProviderState) -> None:
        """What a token was taken for did not happen."""
        payer.budget.give_back()

    def earn(self, asked: ProviderState) -> None:
        """An original is sent to a provider."""
        asked.budget.deposit()


class DryPurse(Purse):
    """Changes nothing outside: the budgets are only imagined spent."""

    def __init__(self) -> None:
        self._spent: dict[str, int] = {}  # by provider

    def level(self, payer: ProviderState) -> float:
        """Return what there would be left, in attempts."""
        return payer.budget.level - self._spent.get(payer.name, 0)

    def pay(self, payer: ProviderState) -> None:
        """Imagine an attempt's token taken."""
        self._spent[payer.name] = self._spent.get(payer.name, 0) + 1

    def give_back(self, payer: ProviderState) -> None:
        """A dry run does not know better."""

    def earn(self, asked: ProviderState) -> None:
        """Nothing is sent."""
