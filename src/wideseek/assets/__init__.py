"""What ships with the package: the pocket world, a small closed world of real facts (docs/world.md).

world_pages()          the file of its pages, ready for `wideseek index`
world_tasks("test")    its tasks: "train", "dev", "test", or all of them in that order
world_manifest()       counts and SHA-256 of each file
bundled_model("nano")  the folder of a model that was trained on it
PRICES                 what common models cost, and as of which day
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wideseek.errors import BadInput
from wideseek.records import Task, read_jsonl

WORLD = Path(__file__).parent / "world"
PRICES = Path(__file__).parent / "prices.toml"
SPLITS = ("train", "dev", "test")


def world_pages() -> Path:
    """The `.jsonl.gz` file of the pocket world's pages (records of `Page`)."""
    return WORLD / "pages.jsonl.gz"


def world_tasks(split: str | None = None) -> Iterator[Task]:
    """The pocket world's tasks of one split, or of all. Raises `BadInput` for a split that it does not have."""
    if split is not None and split not in SPLITS:
        raise BadInput(f"the pocket world has no split {split!r}; it has {', '.join(SPLITS)}")
    for name in SPLITS if split is None else (split,):
        yield from read_jsonl(WORLD / f"tasks-{name}.jsonl.gz", Task)


def bundled_model(name: str) -> Path:
    """The folder of a bundled model, as plain `transformers` loads it: "nano", or "nano-base", the weaker start for
    reinforcement learning."""
    return Path(__file__).parent / name


def world_manifest() -> dict[str, Any]:
    """Counts, seed and SHA-256 of the pocket world's files."""
    manifest: dict[str, Any] = json.loads((WORLD / "manifest.json").read_text(encoding="utf-8"))
    return manifest
