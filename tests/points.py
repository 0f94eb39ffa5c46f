"""A process that kills itself at a point of its work, so that no test depends on how fast a machine is.

    python -m tests.points MODULE:NAME NUMBER SIGNAL ARGUMENTS ...

runs `wideseek ARGUMENTS ...` and has the signal sent when `MODULE:NAME` is called for the NUMBERth time, before it does anything.
A script that a test runs calls `signal_at` itself.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
from typing import Any


def signal_at(point: str, number: int, what: signal.Signals = signal.SIGKILL) -> None:
    """Send this process `what` when `point` (`module:name`, `module:Class.name`) is called for the `number`th time."""
    module, _, path = point.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    original, calls = getattr(owner, name), itertools.count(1)

    def stopped(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), what)
        return original(*arguments, **options)

    setattr(owner, name, stopped)


def killed_at(point: str, number: int, *arguments: object, what: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command that runs `wideseek` with these arguments up to a point."""
    return [sys.executable, "-m", "tests.points", point, str(number), what.name, *map(str, arguments)]


if __name__ == "__main__":
    point, number, what, *arguments = sys.argv[1:]
    signal_at(point, int(number), signal.Signals[what])
    from wideseek.cli import main

    sys.argv = ["wideseek", *arguments]
    main()
