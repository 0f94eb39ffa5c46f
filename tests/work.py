"""How much work something is: the lines of wideseek that it runs. Unlike seconds, it is the same on every machine.

What a library does in C within one line counts as one line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import wideseek

HOME = str(Path(wideseek.__file__).parent)


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of wideseek's code `work()` runs, loops and comprehensions counted each time."""
    count = 0

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(HOME) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
