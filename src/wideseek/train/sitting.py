"""One sitting of a training: what both kinds of training do alike when they start, go on and are interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch

from wideseek.errors import BadInput, RunDirError
from wideseek.train.checkpoint import checkpoints
from wideseek.train.model import architecture

CONFIG = "training.json"


def last_checkpoint(out: Path, resume: bool) -> Path | None:
    """Where to go on. Raises `RunDirError` for a folder that holds a training which is not to be resumed."""
    found = checkpoints(out)
    if found and not resume:
        raise RunDirError(f"{out}: holds a training (at {found[-1].name}): go on with --resume, or choose another out")
    return found[-1] if found else None


def check_same_model(model: str, checkpoint: Path) -> None:
    """Raises `RunDirError` where the checkpoint is of a model of another shape."""
    wanted, there = architecture(model), architecture(checkpoint)
    other = sorted(key for key in wanted if wanted[key] != there.get(key))
    if other:
        raise RunDirError(
            f"{checkpoint}: is of another model than {model} ({other[0]} {there.get(other[0])}, not "
            f"{wanted[other[0]]}): choose another out, or the model that it was started with"
        )


def earlier(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return {}


def chosen_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device = 'cuda': no GPU is available here: use device = 'auto' or 'cpu'")
    return torch.device(name)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM has asked to stop: a step is never cut in half. A second Ctrl-C ends at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
