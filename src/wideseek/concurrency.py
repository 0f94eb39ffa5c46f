"""Doing several things at once, and the one thing that only one thread may do at a time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

LOADING = threading.RLock()
"""Held by the thread that imports torch and transformers and loads a model: neither can be imported by two threads at
once (the second one sees a half of the package), and transformers keeps its verbosity for the whole process."""


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run them concurrently; results in order. The first exception cancels the others and is raised as it is."""
    jobs = list(coroutines)
    if len(jobs) == 1:  # most turns have one call: it needs no task of its own
        return [await jobs[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


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
