"""Files that are written whole or not at all: a new name in the same folder, then a rename.

    write_whole      one file or several that the user named, all of them or none
    check_writable   whether they could be, before a long run; nothing is made and nothing is touched
    write_own        a file of a run folder
    open_own         one that grows at its end
    refuse_link      what both of them ask of a name first
    read_own         what such a file holds; open_regular for reading it piece by piece
    read_text        a text that the user named
    draft_name       a name beside a file that nobody can guess, so that nobody can put a link there before

What stood there before stays as it was until the new content is wholly on the disk; an existing file keeps its mode.
Links have one rule. A name that the user gave (`--out`, the run folder itself) may be a symbolic link and is followed.
Names inside a run folder are wideseek's own: nothing is written through a link there, wherever the folder came from.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from wideseek.errors import BadInput, RunDirError


def write_whole(contents: Mapping[Path, bytes], *, follow: bool = True) -> None:
    """Write each content to its path, or with `follow` to the file that a link there leads to.

    Raises `OSError`; then no path has changed, unless a rename itself failed.
    """
    drafts: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            target = _target(path, follow)
            draft = draft_name(target)
            drafts[draft] = target
            _write_new(draft, content)
            if target.exists():
                shutil.copymode(target, draft)
        for draft, target in drafts.items():
            draft.replace(target)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def draft_name(path: Path) -> Path:
    """A name beside `path`, with its ending, for what is to become `path` once it is complete."""
    return path.with_name(f"{DRAFT}{secrets.token_hex(8)}.part{path.suffix}")


DRAFT = ".wideseek-"
"""How the name of a draft begins."""


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist, down to the disk."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def check_writable(path: Path) -> None:
    """Raise the `OSError` that writing `path` would raise, as far as that can be known now."""
    target = _target(path)
    with contextlib.closing(tempfile.TemporaryFile(dir=target.parent)):
        pass


def _target(path: Path, follow: bool = True) -> Path:
    """The file that `path` is, or leads to. Raises `OSError` where what stands there is not to be replaced."""
    target = Path(os.path.realpath(path)) if follow else path
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is not a file")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return target


# ----------------------------------------------------------------------------------------------------- run folders


def write_own(path: Path, content: bytes, advice: str) -> None:
    """Write a file of a run folder, never through a link. Raises `RunDirError`, which ends with `advice`."""
    refuse_link(path)
    try:
        write_whole({path: content}, follow=False)
    except OSError as error:
        raise RunDirError(f"{path}: cannot be written ({error.strerror or error}): {advice}") from error


def open_own(path: Path) -> int:
    """Open a file of a run folder to append to it. Raises `RunDirError` for a link, and `OSError`."""
    refuse_link(path)
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    return _regular(handle)


def open_regular(path: Path) -> IO[bytes]:
    """Open a file of a run folder to read it. Raises `OSError`, also for what is no file: a pipe is not waited for."""
    return os.fdopen(_regular(os.open(path, os.O_RDONLY | os.O_NONBLOCK)), "rb")


def read_own(path: Path) -> bytes:
    """What a file of a run folder holds. Raises `OSError`."""
    with open_regular(path) as file:
        return file.read()


def refuse_link(path: Path) -> None:
    """Raises `RunDirError` where `path`, a name in a run folder, is a symbolic link."""
    if path.is_symlink():
        raise RunDirError(
            f"{path}: is a link to {path.readlink()}, and nothing is written through links inside a run folder: "
            "remove the link, or choose another folder"
        )


def _regular(handle: int) -> int:
    """The open file, if it is one."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a file")
    return handle


# ------------------------------------------------------------------------------------------------- the user's texts


def read_text(path: Path) -> str:
    """A text that the user named, with or without a byte order mark. Raises `BadInput` that names what is wrong."""
    try:
        return decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from error


def decoded(data: bytes, name: str) -> str:
    """The text in `data`, which came from `name`. Raises `BadInput`."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadInput(not_utf8(name, data, error)) from error


def not_utf8(name: str, data: bytes, error: UnicodeDecodeError, before: int = 0) -> str:
    """What is wrong with a text that is in another encoding; `before` bytes of `name` stand before `data`."""
    return (
        f"{name}: is not UTF-8 text, at byte {before + error.start + 1} (0x{data[error.start]:02x}): save it as UTF-8"
    )
