"""The journal: every completed policy and tool call of a run, in the order they completed.

A call is recorded before its result is used. Resuming after a kill is a re-run that finds what is done in the journal
and calls only what is missing; replaying offline is the same with nothing missing. An entry is found by its *place*
(task, trial, agent path, turn, call) and a *digest of the request*: a run that asks something else at that place gets a
miss, never a wrong answer. The file is JSON lines; a kill can tear the last line only, which is then dropped. Any
other line that cannot be read is skipped, whatever it holds: its call is made again, and a note says so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from filelock import FileLock, Timeout

from wideseek.errors import RunDirError
from wideseek.files import open_own, read_own, refuse_link
from wideseek.policy.base import Policy, PolicyWrapper, ToolSchema
from wideseek.records import Completion, Trajectory, Usage
from wideseek.redaction import redacted

NAME = "journal.jsonl"
FORMAT = 1
T = TypeVar("T")

_encoder = msgspec.json.Encoder()


class _Header(msgspec.Struct, tag="journal"):
    format: int


class _Entry(msgspec.Struct, tag="call"):
    place: str
    digest: str
    value: msgspec.Raw


_entries = msgspec.json.Decoder(_Header | _Entry)

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not the JSON of a record."""

NAMED_LINES = 5  # of the skipped lines so many are named in the note


def digest(*parts: Any) -> str:
    """A fingerprint of a request: equal parts, equal digest, on any machine."""
    return hashlib.blake2b(_encoder.encode(parts), digest_size=12).hexdigest()


class Journal:
    """In memory where `folder` is `None`: then nothing is kept and nothing found. `recalled` counts replayed calls.

    Raises `RunDirError` for a folder that another run holds, that cannot be written, or whose journal is a link or of
    a newer format; `record` raises it when the disk is full. Use as a context manager: it holds the folder's lock.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.recalled = 0
        self._done: dict[tuple[str, str], _Line] = {}
        self._skipped: set[int] = set()
        self._file = -1
        if folder is not None:
            self._lock = locked(folder)
            try:
                self._open(folder / NAME)
            except BaseException:
                self.__exit__()
                raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self.folder is not None:
            self._lock.release()

    def recall(self, place: str, digest: str, type: type[T]) -> T | None:
        """What was recorded for this request at this place, or `None`."""
        line = self._done.get((place, digest))
        return None if line is None else self._decoded(line, type)

    def record(self, place: str, digest: str, value: Any) -> None:
        """Keep a completed call: it is in the file (not only in this process) when this returns."""
        if self._file < 0:
            return
        line = _encoder.encode(_Entry(place, digest, msgspec.Raw(_encoder.encode(value)))) + b"\n"
        self._write(redacted(line))

    def spent(self) -> Usage:
        """What the recorded calls have cost: a resumed run has already spent it."""
        total = Usage()
        for line in self._done.values():
            if (call := self._decoded(line, _Spent)) is not None:
                total = total + call.usage
        return total

    @property
    def note(self) -> str:
        """How many lines were skipped so far, and which; empty where none was."""
        if not self._skipped:
            return ""
        count, numbers = len(self._skipped), sorted(self._skipped)
        named = ", ".join(map(str, numbers[:NAMED_LINES])) + (" ..." if count > NAMED_LINES else "")
        lines, were = ("line", "was") if count == 1 else ("lines", "were")
        return (
            f"{count:,} {lines} of {self.folder}/{NAME} could not be read and {were} skipped ({lines} {named}): "
            "what was recorded there counts as not done."
        )

    def _decoded(self, line: _Line, type: type[T]) -> T | None:
        """The value on a line; `None`, and the line is among the skipped ones, where it is no such value."""
        try:
            return msgspec.json.decode(line.value, type=type)
        except UNREADABLE:
            self._skipped.add(line.number)
            return None

    def _open(self, path: Path) -> None:
        try:
            self._file = open_own(path)
            size = self._load(path)
            os.ftruncate(self._file, size)
        except OSError as error:
            raise RunDirError(f"{path}: cannot be opened ({error.strerror}): choose another --run-dir") from error
        if not size:
            self._write(_encoder.encode(_Header(FORMAT)) + b"\n")

    def _load(self, path: Path) -> int:
        """Read the entries; returns the length of the file without a torn last line."""
        data = read_own(path)
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
            try:
                entry = _entries.decode(line)
            except UNREADABLE:
                self._skipped.add(number)
                continue
            if isinstance(entry, _Entry):
                self._done[entry.place, entry.digest] = _Line(number, entry.value)
            elif entry.format > FORMAT:
                raise RunDirError(
                    f"{path}: is of format {entry.format}, this wideseek reads {FORMAT}: upgrade wideseek"
                )
        return whole

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            raise RunDirError(
                f"{self.folder}: the journal cannot be written ({error.strerror}): make room, then run the same again "
                "in this folder; what was recorded is kept"
            ) from error


class _Line(NamedTuple):
    """A recorded value, and where it stands."""

    number: int
    value: msgspec.Raw


class _Spent(msgspec.Struct):
    usage: Usage = msgspec.field(default_factory=Usage)


def locked(folder: Path) -> FileLock:
    """The lock of a run folder, made where it is not there. Raises `RunDirError` where another run holds it."""
    lock = FileLock(folder / "lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_link(folder / "lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunDirError(f"{folder}: another run is using it: wait for it, or choose another folder") from error
    except OSError as error:
        raise RunDirError(f"{folder}: cannot be written ({error.strerror}): choose another folder") from error
    return lock


class RecordedPolicy(PolicyWrapper):
    """A policy whose completions are taken from the journal where they are there, and recorded where not.

    `scope` is the task and trial.
    """

    def __init__(self, policy: Policy, journal: Journal, scope: str) -> None:
        super().__init__(policy)
        self._journal, self._scope = journal, scope

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        place = f"{self._scope}/{self.version}/{trajectory.path}/{len(trajectory.turns)}"
        request = digest(
            self.name, self.sampling, list(trajectory.messages()), tools, trajectory.seed, trajectory.context_tokens
        )
        completion = self._journal.recall(place, request, Completion)
        if completion is not None:
            self._journal.recalled += 1
            return completion
        completion = await super().complete(trajectory, tools)
        self._journal.record(place, request, completion)
        return completion
