"""What is asked, and how wide: question n is the same in every sitting, so a resumed training needs no state for it.

n  ->  wide or deep, evenly mixed by `data.deep`  ->  the next task of that kind, every epoch in another order
   ->  a width drawn from `widths`, and a seed for its rollouts
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wideseek.assets import SPLITS, world_tasks
from wideseek.errors import BadInput
from wideseek.records import Kind, Task
from wideseek.scoring.tasks import Placed, check_tasks, placed_tasks
from wideseek.train.settings import MarlConfig

POCKET = "pocket-"


@dataclass(frozen=True)
class Question:
    """Question `number` of a training, counted from 0."""

    number: int
    task: Task
    width: int
    seed: int


class Questions:
    """The questions of a training, by number. Raises `BadInput` where a kind that is asked for has no task."""

    def __init__(self, config: MarlConfig) -> None:
        self._config = config
        tasks = read_tasks(config.data.tasks)
        self._tasks: dict[Kind, list[Task]] = {}
        for kind, share in (("wide", 1 - config.data.deep), ("deep", config.data.deep)):
            found = drawn([task for task in tasks if task.kind == kind], config.data.limit, config.seed)
            if share and not found:
                raise BadInput(
                    f"data: {', '.join(config.data.tasks)}: holds no {kind} task, of which data.deep asks for some"
                )
            self._tasks["wide" if kind == "wide" else "deep"] = found

    def __getitem__(self, number: int) -> Question:
        deep = self._config.data.deep
        before = math.floor(number * deep + 1e-9)  # deep ones among the first `number`
        kind: Kind = "deep" if math.floor((number + 1) * deep + 1e-9) > before else "wide"
        tasks, nth = self._tasks[kind], before if kind == "deep" else number - before
        epoch, at = divmod(nth, len(tasks))
        rng = np.random.default_rng((self._config.seed, number))
        return Question(
            number,
            tasks[self._order(kind, epoch)[at]],
            int(rng.choice(self._config.widths)),
            int(rng.integers(1 << 31)),
        )

    @functools.lru_cache(maxsize=4)  # noqa: B019 (lives as long as the training)
    def _order(self, kind: Kind, epoch: int) -> list[int]:
        rng = np.random.default_rng((self._config.seed, kind == "deep", epoch))
        return [int(at) for at in rng.permutation(len(self._tasks[kind]))]


def read_tasks(names: Sequence[str]) -> list[Task]:
    """Checked tasks of files (.jsonl, .jsonl.gz) and of the pocket world (`pocket-train`). Raises `BadInput`."""
    tasks: list[Placed] = []
    for name in names:
        split = name.removeprefix(POCKET)
        if name.startswith(POCKET) and split in SPLITS:
            tasks += ((name, task) for task in world_tasks(split))
        elif Path(name).is_file():
            tasks += placed_tasks(Path(name))
        else:
            raise BadInput(f"tasks: {name!r} is neither a file nor one of {', '.join(POCKET + s for s in SPLITS)}")
    check_tasks(tasks)
    return [task for _, task in tasks]


def drawn(tasks: Sequence[Task], limit: int | None, seed: int) -> list[Task]:
    """At most `limit` tasks, the same ones for the same seed, in their order."""
    if limit is None or limit >= len(tasks):
        return list(tasks)
    return [tasks[at] for at in sorted(np.random.default_rng(seed).permutation(len(tasks))[:limit])]
