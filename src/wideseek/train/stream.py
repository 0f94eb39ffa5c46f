"""Groups of rollouts as a stream: the next step's begin while stragglers of this one still run.

    group n belongs to step n // size, and may start once the weights have had at least step - staleness updates

So what step s learns from was sampled by weights that are at most `staleness` updates behind; with 0 the next step
waits for this one's update: the synchronous algorithm, exactly. Batches are formed in the order of the questions, never
of those that ended first, which would favour short rollouts. At most one batch is in flight, counted in groups.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Stream(Generic[T]):
    """Starts `make(n)` for the groups of steps `first` to `last` - 1, `size` groups a step."""

    def __init__(self, make: Callable[[int], Awaitable[T]], size: int, first: int, last: int, staleness: int) -> None:
        self._make, self._size, self._staleness = make, size, staleness
        self._next, self._end, self._version = first * size, last * size, first
        self._jobs: dict[int, asyncio.Task[T]] = {}
        self._running = 0
        self._begun = asyncio.Event()

    async def batch(self, step: int) -> list[T]:
        """The groups of a step, in order. Raises what a group raised."""
        self._start()
        made = []
        for number in range(step * self._size, (step + 1) * self._size):
            while number not in self._jobs:  # its turn comes as others end
                self._begun.clear()
                await self._begun.wait()
            made.append(await self._jobs[number])
            del self._jobs[number]
        return made

    def advance(self, version: int) -> None:
        """The weights have had `version` updates by now."""
        self._version = version
        self._start()

    async def close(self) -> None:
        """Cancel what still runs."""
        self._end = self._next
        for job in self._jobs.values():
            job.cancel()
        await asyncio.gather(*self._jobs.values(), return_exceptions=True)

    def _start(self) -> None:
        while (
            self._next < self._end
            and self._running < self._size
            and self._next // self._size <= self._version + self._staleness
        ):
            job = asyncio.ensure_future(self._make(self._next))
            job.add_done_callback(self._ended)
            self._jobs[self._next] = job
            self._next += 1
            self._running += 1
            self._begun.set()

    def _ended(self, _: asyncio.Future[T]) -> None:
        self._running -= 1
        self._start()
