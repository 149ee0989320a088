"""What each source may spend on a day (UTC), and whether it still may.

Events under way here are counted as one call each before they end. So a limit of calls is passed
only by calls repeated for them and by what other workers call meanwhile; a limit in USD also by the
price of the calls under way.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from enrich.errors import Spent
from enrich.loading import Spending
from enrich.settings import BudgetSettings

REFRESH_SECONDS = 2.0  # how old the other workers' spending may be


def day_of(moment: datetime) -> str:
    """The UTC day of a moment, as the spending table writes it."""
    return moment.astimezone(UTC).date().isoformat()


def next_day(moment: datetime) -> datetime:
    """When the next UTC day begins."""
    today = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=1)


def used_up(budget: BudgetSettings, spent: Spending) -> str:
    """What of a day's budget is used up, in words; empty where more may be spent."""
    if budget.calls_per_day is not None and spent.call_count >= budget.calls_per_day:
        return f"{spent.call_count} of {budget.calls_per_day} calls"
    if budget.usd_per_day is not None and spent.cost_usd >= budget.usd_per_day:
        return f"{spent.cost_usd:.2f} of {budget.usd_per_day:g} USD"
    return ""


class Budgets:
    """This worker's view of what was spent today, its own calls at once, the others' soon."""

    def __init__(self) -> None:
        self._day = ""
        self._spent: dict[str, Spending] = {}
        self._under_way: Counter[str] = Counter()
        self._refused: dict[str, str] = {}

    @property
    def day(self) -> str:
        """The day that the figures are of."""
        return self._day

    def refresh(self, day: str, spent: Mapping[str, Spending]) -> None:
        """Take over the store's figures of a day."""
        self._day = day
        self._spent = dict(spent)

    def allows(self, source: str, budget: BudgetSettings) -> bool:
        """Whether one more call may be made for the source."""
        spent = self._spent.get(source, Spending())
        calls = spent.call_count + self._under_way[source]
        return not used_up(budget, Spending(calls, spent.cost_usd))

    def is_first_refusal(self, source: str) -> bool:
        """Whether this one is the source's first on the day."""
        is_first = self._refused.get(source) != self._day
        self._refused[source] = self._day
        return is_first

    def begin(self, source: str) -> None:
        """A call starts."""
        self._under_way[source] += 1

    def end(self, source: str, spent: Spent) -> None:
        """A call that `begin` announced ended, at this cost."""
        self._under_way[source] -= 1
        before = self._spent.get(source, Spending())
        self._spent[source] = Spending(
            before.call_count + spent.call_count, before.cost_usd + spent.cost_usd
        )
