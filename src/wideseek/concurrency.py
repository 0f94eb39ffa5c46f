"""Doing several things at once.

together       run coroutines concurrently, results in order
Lockstep       let engines work only while everything else waits for them, so that what they compute together depends
               on what is asked and never on who asked first
in_own_thread  what may take long and cannot be interrupted, so that those who wait for it can be
LOADING        what only one thread may do at a time: import libraries of models, and load models
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

LOADING = threading.RLock()
"""Held by the thread that imports torch and transformers and loads a model: neither can be imported by two threads at
once (the second one sees a half of the package), and transformers keeps its verbosity for the whole process."""


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run them concurrently; results in order. The first exception cancels the others and is raised as it is."""
    jobs = list(coroutines)
    if len(jobs) == 1:  # most turns have one call: it needs no task of its own
        return [await jobs[0]]
    lockstep = LOCKSTEP.get()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            if lockstep is not None:
                lockstep.part(tasks)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


class Lockstep:
    """Counts branches of work. Engines work while each of them waits for an engine, one engine at a time.

        with lockstep.branch():     one branch, from the call of `branch` on; `together` inside parts it and joins it
        wait = lockstep.wait(n)     it waits for engine n ...
        wait.over()                 ... until then
        lockstep.turn(n)            whether engine n may work now

    A branch that searches, reads or thinks is going on, so no engine works until that is done: which requests stand in
    a batch does not depend on how long anything takes. Threads may use it at the same time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going = 0
        self._waiting: Counter[int] = Counter()
        self._wakes: dict[int, Callable[[], None]] = {}

    def branch(self) -> Branch:
        """Work that is going on from now on, until its `with` block ends."""
        self.count(1)
        return Branch(self)

    def part(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        """A branch becomes these tasks; the last of them to end is the branch again."""
        left = len(tasks)
        self.count(max(0, left - 1))

        def ended(_: asyncio.Task[Any]) -> None:
            nonlocal left
            left -= 1
            self.count(-1 if left else 0)

        for task in tasks:
            task.add_done_callback(ended)

    def wait(self, engine: int, wake: Callable[[], None]) -> Wait:
        """A branch waits for this engine, whose `wake` is called when it may be its turn."""
        with self._lock:
            self._wakes[engine] = wake
        self.count(-1, engine, 1)
        return Wait(self, engine)

    def turn(self, engine: int) -> bool:
        """Whether all branches wait, none of them for an engine of a lower number."""
        with self._lock:
            return not self._going and not any(self._waiting[other] for other in self._wakes if other < engine)

    def count(self, going: int, engine: int = 0, waiting: int = 0) -> None:
        """Add to the branches that go on, and to those that wait for an engine."""
        with self._lock:
            self._going += going
            self._waiting[engine] += waiting
            wakes = [] if self._going else list(self._wakes.values())
        for wake in wakes:
            wake()


class Branch:
    """A branch of work under a lockstep, as a context; tasks that begin inside belong to the lockstep, too."""

    def __init__(self, lockstep: Lockstep) -> None:
        self._lockstep = lockstep
        self._before: Token[Lockstep | None]

    def __enter__(self) -> Self:
        self._before = LOCKSTEP.set(self._lockstep)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        LOCKSTEP.reset(self._before)
        self._lockstep.count(-1)


class Wait:
    """A branch that waits for an engine."""

    def __init__(self, lockstep: Lockstep, engine: int) -> None:
        self._lockstep, self._engine = lockstep, engine
        self._lock, self._over = threading.Lock(), False

    def over(self) -> None:
        """The branch goes on. Calling it again does nothing."""
        with self._lock:
            over, self._over = self._over, True
        if not over:
            self._lockstep.count(1, self._engine, -1)


LOCKSTEP: ContextVar[Lockstep | None] = ContextVar("lockstep", default=None)
"""What the running task belongs to."""


async def in_own_thread(work: Callable[[], T]) -> T:
    """What `work()` gives or raises, from a thread that nobody waits for.

    Where the caller is cancelled it goes on at once, and the process may end; `work` cannot be stopped, and what it
    gives then is dropped.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if told.done():
            return
        if error is None:
            told.set_result(result)  # type: ignore[arg-type]
        else:
            told.set_exception(error)

    def run() -> None:
        result: T | None = None
        raised: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # raised where it is awaited
            raised = error
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody asks any more
            loop.call_soon_threadsafe(tell, result, raised)

    threading.Thread(target=run, name="wideseek-loading", daemon=True).start()
    return await told
