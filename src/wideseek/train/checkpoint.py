"""Checkpoints: everything that a training needs to go on, whole or not at all.

    OUT/checkpoints/step-000400/    weights and tokenizer as `transformers` lays them out, and state.pt
    OUT/model/                      the same layout without state.pt, once the training has ended

A checkpoint is written into a folder beside its place and renamed when it is complete and on disk: a kill or a full
disk leaves the last good one, and what a kill left is removed when the next one is written. `state.pt` holds plain
tensors and numbers; loading it runs no code.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from wideseek.errors import RunDirError
from wideseek.files import DRAFT, draft_name

FORMAT = 1


def make_room(out: Path) -> None:
    """Make the folder of a training. Raises `RunDirError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirError(f"{out}: cannot be made ({error.strerror}): choose another out") from error


def save_checkpoint(out: Path, step: int, write: Callable[[Path], None], state: dict[str, Any], keep: int) -> Path:
    """Write the checkpoint of `step`: `write` puts the weights into a folder. Older ones beyond `keep` are removed.

    Raises `RunDirError` where the disk is full; what was there stays.
    """
    place = out / "checkpoints" / f"step-{step:06d}"
    write_folder(place, write, {"format": FORMAT, "step": step, **state})
    for old in checkpoints(out)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def write_folder(place: Path, write: Callable[[Path], None], state: dict[str, Any] | None = None) -> None:
    """A folder with what `write` puts there (and `state.pt`): complete, or not there. Raises `RunDirError`."""
    part, old = draft_name(place), draft_name(place)
    try:
        _remove(*place.parent.glob(f"{DRAFT}*/"))  # what a kill left
        part.mkdir(parents=True)
        write(part)
        if state is not None:
            torch.save(state, part / "state.pt")
        for path in (*part.iterdir(), part):
            _sync(path)
        if place.exists():
            place.rename(old)
        part.rename(place)
        _sync(place.parent)
        _remove(old)
    except Exception as error:  # a full disk is an OSError, a RuntimeError (torch) or a SafetensorError
        _remove(part)
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RunDirError(
            f"{place}: cannot be written ({reason}): make room, then run it again (a training: with --resume)"
        ) from error


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checkpoints(out: Path) -> list[Path]:
    """The complete checkpoints of a training, oldest first."""
    found = [path for path in (out / "checkpoints").glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted((path for path in found if (path / "state.pt").is_file()), key=lambda p: int(p.name[5:]))


def load_state(checkpoint: Path) -> dict[str, Any]:
    """What stands beside a checkpoint's weights. Raises `RunDirError` for another format and what cannot be read."""
    try:
        state: dict[str, Any] = torch.load(checkpoint / "state.pt", weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise RunDirError(
            f"{checkpoint}: cannot be read ({type(error).__name__}): remove it to go on from the one before"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else "unknown"
        raise RunDirError(f"{checkpoint}: is of another version of wideseek (format {found}, not {FORMAT})")
    return state
