"""When an attempt may start, so that a hard budget is spent on attempts that can end.

    spent share + (running + 1) · mean share of an attempt <= 1 - reserve        or nothing is running

Without this, all that run when the budget ends are cut short together, and what they cost bought no score. The mean
is over the attempts that have ended; until there is one, two run as pilots. Only tokens, dollars and calls count:
attempts that run side by side do not take each other's time. Without such a limit everybody enters at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType

from wideseek.budget import Budget, Limits
from wideseek.records import Usage

PILOTS = 2


class Admission:
    """The door that every attempt goes through: `async with admission: ...`, then `paid` with what it cost."""

    def __init__(self, budget: Budget, ended: Iterable[Usage] = ()) -> None:
        self._budget = budget
        self._costs, self._ended = 0.0, 0
        self._limited = any(
            limit is not None for limit in (budget.limits.tokens, budget.limits.usd, budget.limits.calls)
        )
        self._running = 0
        self._left = asyncio.Condition()
        for usage in ended:
            self.paid(usage)

    async def __aenter__(self) -> None:
        async with self._left:
            await self._left.wait_for(self._may_start)
            self._running += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._left:
            self._running -= 1
            self._left.notify_all()

    def paid(self, usage: Usage) -> None:
        """What an attempt that has ended has cost."""
        self._costs += share_of(usage, self._budget.limits)
        self._ended += 1

    def _may_start(self) -> bool:
        if not self._limited or not self._running or self._budget.interrupted:
            return True
        if not self._ended:
            return self._running < PILOTS
        expected = (self._running + 1) * self._costs / self._ended
        return self._budget.share + expected <= 1 - self._budget.limits.reserve


def share_of(usage: Usage, limits: Limits) -> float:
    """The largest share of a limit that `usage` takes; 0 without limits."""
    pairs = ((usage.tokens, limits.tokens), (usage.usd, limits.usd), (usage.calls, limits.calls))
    return max((spent / limit for spent, limit in pairs if limit), default=0.0)
