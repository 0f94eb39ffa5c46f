"""A build: pages become an index in a folder, or are added to the one there.

    build(pages, out, progress)    one at a time in a folder

A build works on a copy in a new generation, and only the new `meta.json` makes it count. So a build that is killed,
fails or meets a full disk leaves the previous index as it was, the same command again heals what it left behind, and
readers go on with the generation that they opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout

from wideseek.errors import BadInput
from wideseek.records import Page
from wideseek.tools.generation import BATCH, NewGeneration, copy_generation, index_errors
from wideseek.tools.index_folder import (
    LOCK,
    generation_folder,
    is_index,
    is_published,
    open_index,
    publish,
    remove_other_generations,
)


def build(pages: Iterable[Page], out: Path, progress: Callable[[int], None]) -> int:
    """See `Corpus.build`."""
    with _locked(out):
        with _writing(out):
            old = _published_generation(out)
            remove_other_generations(out)
        try:
            changed, count = _write_generation(iter(pages), out, old, progress)
            if changed or not old:
                with _writing(out):
                    publish(out, old + 1, count)
            return changed
        finally:
            remove_other_generations(out)


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """`out`, made where it is not there, for this build alone."""
    with _writing(out):
        if out.is_dir() and any(out.iterdir()) and not is_index(out):
            raise BadInput(f"{out}: holds something else than an index; name a new or empty folder")
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise BadInput(f"{out}: another build is at work there; try again when it has ended") from None
    try:
        yield
    finally:
        lock.release()


def _published_generation(out: Path) -> int:
    """The number of the current generation, which is whole; 0 where there is none."""
    if not is_published(out):
        return 0
    meta, store, _ = open_index(out)
    store.close()
    return meta.generation


def _write_generation(pages: Iterator[Page], out: Path, old: int, progress: Callable[[int], None]) -> tuple[int, int]:
    """Write the generation after `old`. Returns how many pages of it are new or changed, and how many it has."""
    folder = generation_folder(out, old + 1)
    with _writing(out):
        if old:
            copy_generation(generation_folder(out, old), folder)
        generation = NewGeneration(folder, old + 1)
    with contextlib.closing(generation):
        while batch := list(islice(pages, BATCH)):  # outside of _writing: what `pages` raises is its own
            with _writing(out):
                generation.take(batch)
            progress(0)
        with _writing(out):
            return generation.index(progress), generation.count()


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """What the disk refuses, as `BadInput`."""

    def refused(problem: str) -> BadInput:
        return BadInput(
            f"{out}: cannot be written: {problem}; free some space or name another folder (nothing is lost)"
        )

    try:
        with index_errors(refused):
            yield
    except OSError as error:
        raise refused(error.strerror or str(error)) from error
