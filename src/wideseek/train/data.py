"""The samples of a training's files, kept in its folder so that they are made once.

    OUT/samples-KEY.npz, OUT/held-out-KEY.npz      KEY: names, sizes and times of the rollout files; model; prompts

A file that was made with another tokenizer, chat template or tool schemas, or is damaged, is made again.
"""

from __future__ import annotations

import glob
import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from wideseek.errors import BadInput, RunDirError
from wideseek.records import Rollout, read_jsonl
from wideseek.train.log import Bar, progress_bar
from wideseek.train.samples import Renderer, Sample, load_samples, save_samples


class Dataset:
    """Samples of rollout files, made with `renderer` and kept in `out`. `key` names what they are made for."""

    def __init__(self, out: Path, renderer: Renderer, key: str, quiet: bool = False) -> None:
        self._out, self._renderer, self._key, self._quiet = out, renderer, key, quiet

    def read(self, patterns: Sequence[str], name: str) -> list[Sample]:
        """The samples of all files that match. Raises `BadInput` where there are none, naming what was found."""
        paths = [path for pattern in patterns for path in _matching(pattern)]
        cache = self._out / f"{name}-{self._digest(paths)}.npz"
        samples = self._kept(cache)
        if samples is None:
            samples = self._made(paths, name)
            self._keep(samples, cache, name)
        if not samples:
            raise BadInput(f"{', '.join(patterns)}: holds no turn that a policy sampled and that is to be trained")
        return samples

    def _digest(self, paths: Sequence[Path]) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for path in paths:
            stat = path.stat()
            digest.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode())
        digest.update(self._key.encode())
        return digest.hexdigest()

    def _kept(self, cache: Path) -> list[Sample] | None:
        """What an earlier sitting made, where it still holds."""
        try:
            samples, fingerprint = load_samples(cache)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return samples if fingerprint in ("", self._renderer.fingerprint) else None

    def _made(self, paths: Sequence[Path], name: str) -> list[Sample]:
        with progress_bar(f"reading rollouts ({name})", quiet=self._quiet) as bar:
            return list(self._renderer.samples(_counted(paths, bar)))

    def _keep(self, samples: Sequence[Sample], cache: Path, name: str) -> None:
        for old in self._out.glob(f"{name}-*.npz"):
            old.unlink(missing_ok=True)
        try:
            save_samples(cache, samples, self._renderer.fingerprint)
        except OSError as error:
            raise RunDirError(f"{cache}: cannot be written ({error.strerror}): make room") from error


def _counted(paths: Sequence[Path], bar: Bar) -> Iterator[Rollout]:
    """The rollouts of all files, each counted when it has been used."""
    count = 0
    for number, path in enumerate(paths, 1):
        for rollout in read_jsonl(path, Rollout):
            yield rollout
            count += 1
            bar.show(count, f"file {number} of {len(paths)}")


def _matching(pattern: str) -> list[Path]:
    paths = [Path(path) for path in sorted(glob.glob(pattern))]  # noqa: PTH207 (whole patterns, absolute ones too)
    if not paths:
        raise BadInput(f"data: no file matches {pattern}")
    return paths
