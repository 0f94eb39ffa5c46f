"""A process that is signalled at a point of its work, so that no test depends on how fast a machine is.

    python -m tests.points MODULE:NAME NUMBER SIGNAL self|parent ARGUMENTS ...

runs `wideseek ARGUMENTS ...` and has the signal sent when `MODULE:NAME` is called for the NUMBERth time, before it does
anything; so do the processes that it starts. A script that a test runs calls `signal_at` itself.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
import threading
from typing import Any


def signal_at(point: str, number: int, what: signal.Signals = signal.SIGKILL, whom: str = "self") -> None:
    """Send `what` when `point` (`module:name`, `module:Class.name`) is called for the `number`th time.

    The signal goes to this process, or to its parent; then this process waits until it is told to end by SIGTERM, and
    goes on with what it does then.
    """
    module, _, path = point.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    original, calls = getattr(owner, name), itertools.count(1)

    def stopped(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            if whom == "self":
                os.kill(os.getpid(), what)
            else:
                _signal_parent(what)
        return original(*arguments, **options)

    setattr(owner, name, stopped)


def _signal_parent(what: signal.Signals) -> None:
    told, before = threading.Event(), signal.getsignal(signal.SIGTERM)
    assert callable(before)

    def ended(number: int, frame: Any) -> None:
        told.set()
        before(number, frame)

    signal.signal(signal.SIGTERM, ended)
    os.kill(os.getppid(), what)
    while not told.wait(0.01):
        pass


def signalled_at(
    point: str, number: int, *arguments: object, what: signal.Signals = signal.SIGKILL, whom: str = "self"
) -> list[str]:
    """The command that runs `wideseek` with these arguments up to a point."""
    return [sys.executable, "-m", "tests.points", point, str(number), what.name, whom, *map(str, arguments)]


POINT = "WIDESEEK_TEST_POINT"  # the environment tells the processes that this one starts, which have this as their main

if __name__ == "__main__":
    os.environ[POINT] = " ".join(sys.argv[1:5])
    sys.argv = ["wideseek", *sys.argv[5:]]

if __name__ in ("__main__", "__mp_main__"):
    point, number, what, whom = os.environ[POINT].split()
    signal_at(point, int(number), signal.Signals[what], whom)

if __name__ == "__main__":
    from wideseek.cli import main

    main()
