"""Files that are written whole or not at all: a new name in the same folder, then a rename.

    write_whole      one file or several, all of them or none
    check_writable   whether they could be, before a long run; nothing is made and nothing is touched

What stood there before stays as it was until the new content is wholly on the disk. A symbolic link keeps pointing to
its file, an existing file keeps its mode. The new name cannot be guessed, so that nobody can put a link in its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_whole(contents: Mapping[Path, bytes]) -> None:
    """Write each content to its path. Raises `OSError`; then no path has changed, unless a rename itself failed."""
    drafts: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            target = _target(path)
            draft = target.with_name(f".wideseek-{secrets.token_hex(8)}.part")
            drafts[draft] = target
            _write_new(draft, content)
            if target.exists():
                shutil.copymode(target, draft)
        for draft, target in drafts.items():
            draft.replace(target)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


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


def _target(path: Path) -> Path:
    """The file that `path` leads to. Raises `OSError` where something stands there that is not to be replaced."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is not a file")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return target
