"""The budget of a run: tokens, money, time and calls, and how it ends.

A run is told three times, so that it can end with a table instead of a crash:

    1 - reserve       every agent is told, with its next tool reply, to answer with what it has; no new tool work starts
    1 - reserve / 2   subagents get no further model call
    1                 nobody does

The last stretch belongs to the lead alone: it is what the table is written with. Running calls are cut off only by time
and by the user (Ctrl-C); what was paid for is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from wideseek.errors import BudgetEnded
from wideseek.policy.base import Policy, PolicyWrapper, ToolSchema, sound
from wideseek.records import Completion, Trajectory, Usage


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """The most a run may spend; `None` is no limit.

    `usd` needs prices, `calls` counts model calls, `seconds` is wall time. `reserve` is the share that is kept for
    answering once the rest is spent.
    """

    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    calls: int | None = None
    reserve: float = 0.2


class Budget:
    """What a run has spent, and whether it may go on."""

    def __init__(
        self, limits: Limits | None = None, spent: Usage | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits or Limits()
        self.spent = spent or Usage()
        self.interrupted = False
        self.prices_of = ""  # the day of the list prices that `spent.usd` is counted with; empty for the user's own
        self._running = 0
        self._answered = Usage()
        self._clock = clock
        self._started = clock()
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def seconds(self) -> float:
        """Wall time since the budget was opened."""
        return self._clock() - self._started

    @property
    def limited(self) -> bool:
        """Whether anything can run out."""
        return bool(self._dimensions(self.spent))

    @property
    def closing(self) -> bool:
        """Whether agents have to answer with what they have."""
        return self.share >= 1 - self.limits.reserve

    @property
    def share(self) -> float:
        """The largest spent share of any limit; 1 or more when something has run out."""
        return self._share(self.spent)

    def _share(self, spent: Usage) -> float:
        return max((used / limit if limit else 1.0 for _, used, limit in self._dimensions(spent)), default=0.0)

    @property
    def reason(self) -> str:
        """What ended or is ending the run, in words."""
        if self.interrupted:
            return "interrupted by the user"
        name, spent, limit = max(self._dimensions(self.spent), key=lambda d: d[1] / d[2] if d[2] else 1.0)
        return f"budget: {_amount(spent)} of {_amount(limit)} {name}"

    def spend(self, usage: Usage) -> None:
        """Count what a call used. Calls are counted when they start (`call`), so `usage.calls` is not added again."""
        self.spent = self.spent + msgspec.structs.replace(usage, calls=0)
        self._answered = self._answered + msgspec.structs.replace(usage, calls=1)

    def interrupt(self) -> None:
        """End the run now: running calls are cut off, no new one starts."""
        self.interrupted = True
        now = asyncio.get_running_loop().time()
        for waiting in self._waiting:
            waiting.reschedule(now)

    def call(self, *, lead: bool) -> AbstractAsyncContextManager[None]:
        """Around one model call. Raises `BudgetEnded` if it may not start, or if time or the user cuts it off.

        A subagent's call, and those that are still running, count with what calls have used on average: so a round of
        parallel subagents does not run past the limit together.
        """
        end = 1.0 if lead else 1 - self.limits.reserve / 2
        calls = self.limits.calls
        expected = self.spent if lead else self._expected()
        if (
            self.interrupted
            or self.share >= end
            or self._share(expected) > end
            or (calls is not None and self.spent.calls + 1 > calls * end)
        ):
            raise BudgetEnded(self.reason)
        self.spent = self.spent + Usage(calls=1)
        return self._counted(lead)

    @asynccontextmanager
    async def _counted(self, lead: bool) -> AsyncIterator[None]:
        self._running += 1
        try:
            async with self.guard(lead=lead):
                yield
        finally:
            self._running -= 1

    def _expected(self) -> Usage:
        """What will have been spent when the running calls and one more have ended."""
        done, running = self._answered, self._running + 1
        if not done.calls:
            return self.spent
        each = Usage(0, done.prompt_tokens // done.calls, done.completion_tokens // done.calls, done.usd / done.calls)
        more = Usage(0, each.prompt_tokens * running, each.completion_tokens * running, each.usd * running)
        return self.spent + more

    @asynccontextmanager
    async def guard(self, *, lead: bool) -> AsyncIterator[None]:
        """Around anything that takes time. Raises `BudgetEnded` when time runs out or the user interrupts."""
        if self.interrupted:
            raise BudgetEnded(self.reason)
        waiting = asyncio.timeout(self._seconds_left(lead))
        try:
            async with waiting:
                self._waiting.add(waiting)
                yield
        except TimeoutError as error:
            if not waiting.expired():
                raise
            raise BudgetEnded(self.reason) from error
        finally:
            self._waiting.discard(waiting)

    def _seconds_left(self, lead: bool) -> float | None:
        if self.limits.seconds is None:
            return None
        end = 1.0 if lead else 1 - self.limits.reserve / 2
        return max(0.0, self.limits.seconds * end - self.seconds)

    def _dimensions(self, spent: Usage) -> list[tuple[str, float, float]]:
        limits = self.limits
        pairs = [
            ("tokens", spent.tokens, limits.tokens),
            ("US dollars", spent.usd, limits.usd),
            ("seconds", self.seconds, limits.seconds),
            ("model calls", spent.calls, limits.calls),
        ]
        return [(name, float(amount), float(limit)) for name, amount, limit in pairs if limit is not None]


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def money(budget: Budget, digits: int) -> str:
    """`$0.120 of $1.00 (prices of 2026-07-24)`; empty where nothing costs anything and no limit is set."""
    spent, limit = budget.spent.usd, budget.limits.usd
    if not (spent or limit):
        return ""
    day = f" (prices of {budget.prices_of})" if budget.prices_of else ""
    return f"${spent:.{digits}f}" + (f" of ${limit:.2f}" if limit else "") + day


class MeteredPolicy(PolicyWrapper):
    """A policy whose calls the budget counts, and may refuse or cut off."""

    def __init__(self, policy: Policy, budget: Budget) -> None:
        super().__init__(policy)
        self._budget = budget

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        async with self._budget.call(lead=trajectory.parent is None):
            completion = sound(await super().complete(trajectory, tools), self.name)
        self._budget.spend(completion.usage)
        return completion
