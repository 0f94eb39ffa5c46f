"""An event loop whose clock a test can move: what waits for a time goes on at once, and nothing sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Loop(asyncio.SelectorEventLoop):
    """`skip(seconds)` moves its clock; `waits` are the delays that were asked for, such as those of `asyncio.sleep`.

    After `freeze()` only `skip` moves it.
    """

    def __init__(self) -> None:
        self.skipped = 0.0
        self.frozen_at: float | None = None
        self.waits: list[float] = []
        super().__init__()

    def time(self) -> float:
        return (super().time() if self.frozen_at is None else self.frozen_at) + self.skipped

    def freeze(self) -> None:
        self.frozen_at = super().time()

    def skip(self, seconds: float) -> None:
        self.skipped += seconds

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        self.waits.append(delay)
        return super().call_later(delay, callback, *args, context=context)


class Policy(asyncio.DefaultEventLoopPolicy):
    """Makes such loops, for all tests."""

    def new_event_loop(self) -> Loop:
        return Loop()


def loop() -> Loop:
    """The loop of the test that runs."""
    running = asyncio.get_running_loop()
    assert isinstance(running, Loop)
    return running


def frozen(loop: Loop) -> Callable[[], float]:
    """The clock of a loop that only the test moves from now on."""
    loop.freeze()
    return loop.time


async def wait_begun(shortest: float) -> float:
    """Wait until something sleeps for `shortest` seconds or more. Returns for how long."""
    while True:
        for seconds in loop().waits:
            if seconds >= shortest:
                return seconds
        await asyncio.sleep(0)


async def settled(turns: int = 50) -> None:
    """Let every task run until it waits for something that is not ready."""
    for _ in range(turns):
        await asyncio.sleep(0)
