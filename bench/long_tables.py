"""Write a world of longer tables: the tasks and the index that docs/training.md measures width on.

    python bench/long_tables.py --rows 10 12 --lists 100 --out runs/long
    wideseek eval runs/long/tasks.jsonl --set corpus=runs/long/index ...

The lists are spliced (`wideseek.synth.spliced`) from those of the pocket world's dev and test splits, which no bundled
model was trained on, with so many rows each. One question is asked of each list: all its members, with one to three
columns. The same arguments give the same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from wideseek.assets import world_pages, world_tasks
from wideseek.records import Page, read_jsonl, write_jsonl
from wideseek.synth.questions import wide_tasks
from wideseek.synth.spliced import known_lists, spliced_lists
from wideseek.synth.world import pages_of
from wideseek.tools.corpus import Corpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs=2, default=(10, 12), metavar=("FEWEST", "MOST"))
    parser.add_argument("--lists", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()

    hidden = [task for split in ("dev", "test") for task in world_tasks(split)]
    real = known_lists(read_jsonl(world_pages(), Page), hidden)
    made = spliced_lists(real, given.lists, given.seed, tuple(given.rows))
    tasks = [next(task for task in wide_tasks(one, given.seed) if task.meta["form"] == "plain") for one in made]
    named = [
        msgspec.structs.replace(task, instance_id=f"long_{number:03d}", split="test")
        for number, task in enumerate(tasks)
    ]
    given.out.mkdir(parents=True, exist_ok=True)
    write_jsonl(given.out / "tasks.jsonl", named)
    Corpus.build(pages_of(made), given.out / "index")
    print(f"{len(named)} tasks of {given.rows[0]} to {given.rows[1]} rows: {given.out}")


if __name__ == "__main__":
    main()
