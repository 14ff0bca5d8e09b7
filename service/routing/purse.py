"""What one call takes from the retry budgets of its providers, and who pays for what."""

from __future__ import annotations

from service.routing.board import ProviderState


class Purse:
    """Of one call. A `dry` one changes nothing outside: the budgets are only imagined spent."""

    _hedged: ProviderState | None = None

    def __init__(self, *, dry: bool) -> None:
        self._dry = dry
        self._spent: dict[str, int] = {}  # by provider, as imagined

    def hedge(self, slow: ProviderState) -> None:
        """Hedges are paid from this provider's budget from now on: its originals are hedged."""
        self._hedged = slow

    def payer(self, asked: ProviderState, *, hedge: bool) -> ProviderState:
        """Return whose budget an attempt at a provider is paid from."""
        return self._hedged if hedge and self._hedged is not None else asked

    def level(self, payer: ProviderState) -> float:
        """Return what there is left, in attempts."""
        level = payer.budget.level
        return level - self._spent.get(payer.name, 0) if self._dry else level

    def pay(self, payer: ProviderState) -> None:
        """Take an attempt's token."""
        if self._dry:
            self._spent[payer.name] = self._spent.get(payer.name, 0) + 1
        else:
            payer.budget.withdraw()

    def give_back(self, payer: ProviderState) -> None:
        """What a token was taken for did not happen. A dry run does not know better."""
        if not self._dry:
            payer.budget.give_back()

    def earn(self, asked: ProviderState) -> None:
        """An original is sent to a provider."""
        if not self._dry:
            asked.budget.deposit()
