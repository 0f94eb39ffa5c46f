"""The folder of an index: which generation is current, whether it is whole, and making another one current.

    out/
      meta.json       which generation is current, its counts, the format; replaced in one step, last of all
      build.lock      held while a build runs
      g000002/        the current generation: files that never change

    open_index(path)                    the current generation, to read
    publish(path, generation, pages)    make this one current
    remove_other_generations(path)      after a build, and after one that did not end

Whatever is wrong with a folder is a `BadInput` that says what next.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from importlib.metadata import version
from pathlib import Path

import msgspec
import tantivy

from wideseek.errors import BadInput
from wideseek.tools.generation import PAGES, index_errors, open_generation

FORMAT = 1
LOCK, META = "build.lock", "meta.json"


class Meta(msgspec.Struct, frozen=True):
    """`meta.json`: `files` has the size in bytes of each file of the generation, by its path there."""

    format: int
    made_by: str
    generation: int
    pages: int
    files: dict[str, int]


class _Format(msgspec.Struct):
    """What `meta.json` of any format holds."""

    format: int


def is_published(path: Path) -> bool:
    return (path / META).exists()


def is_index(path: Path) -> bool:
    """Whether a build has been at work here, finished or not."""
    return (path / LOCK).exists() or is_published(path)


def generation_folder(path: Path, generation: int) -> Path:
    return path / f"g{generation:06d}"


def open_index(path: Path) -> tuple[Meta, sqlite3.Connection, tantivy.Index]:
    """The current generation, its files all there."""
    while True:
        meta = _read_meta(path)
        try:
            return meta, *_open_whole(path, meta)
        except BadInput:
            if _read_meta(path).generation == meta.generation:
                raise  # else a build was finished in between


def _read_meta(path: Path) -> Meta:
    """What `meta.json` says, once it is known to be of a format that this version reads."""
    try:
        raw = (path / META).read_bytes()
        made = msgspec.json.decode(raw, type=_Format).format
        if made <= FORMAT:
            return msgspec.json.decode(raw, type=Meta)
    except FileNotFoundError:
        raise BadInput(_why_not_there(path)) from None
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read: {error.strerror}; name another folder or mend its permissions"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(damaged(path, f"{META}: {error}")) from None
    raise BadInput(
        f"{path}: made by format {made}, this wideseek reads up to {FORMAT}: "
        "upgrade, or build it again with `wideseek index`"
    )


def _why_not_there(path: Path) -> str:
    if not path.exists():
        return f"{path}: no such folder; build the index with `wideseek index PAGES.jsonl.gz --out {path}`"
    if is_index(path):
        return f"{path}: the build was not finished; run the same `wideseek index` command again"
    return f"{path}: not an index (no {META}); build one with `wideseek index PAGES.jsonl.gz --out FOLDER`"


def _open_whole(path: Path, meta: Meta) -> tuple[sqlite3.Connection, tantivy.Index]:
    folder = generation_folder(path, meta.generation)
    for name, size in meta.files.items():
        file = folder / name
        if not file.is_file():
            raise BadInput(damaged(path, f"{folder.name}/{name} is missing"))
        if file.stat().st_size != size:
            raise BadInput(damaged(path, f"{folder.name}/{name} has {file.stat().st_size} bytes instead of {size}"))
    with index_errors(lambda problem: BadInput(damaged(path, problem))):
        return open_generation(folder)


def damaged(path: Path, problem: str) -> str:
    return f"{path}: the index is damaged: {problem}; remove the folder and build it again with `wideseek index`"


def publish(path: Path, generation: int, pages: int) -> None:
    """Make `generation` the current one: everything on disk first, then `meta.json` in one step."""
    folder = generation_folder(path, generation)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.endswith(".lock")]
    mode = (folder / PAGES).stat().st_mode
    for file in files:
        file.chmod(mode)  # as the umask says; tantivy makes some files private
        _to_disk(file)
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    meta = Meta(FORMAT, version("wideseek"), generation, pages, sizes)
    draft = path / f"{META}.new"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(meta)))
    _to_disk(draft)
    draft.replace(path / META)


def _to_disk(file: Path) -> None:
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


def remove_other_generations(path: Path) -> None:
    """Remove what is not current: an older generation, or what a build left that did not end."""
    current = generation_folder(path, _read_meta(path).generation) if is_published(path) else None
    for folder in path.glob("g[0-9]*"):
        if folder != current:
            shutil.rmtree(folder, ignore_errors=True)
