"""`wideseek tasks`: benchmarks and how well they are answered."""

from __future__ import annotations

import click

from wideseek.cli.options import DEBUG
from wideseek.errors import BadInput


@click.command(short_help="Print tasks with their gold answers, as JSON lines.")
@click.argument("bench")
@click.option("--split", help="train, dev or test.  [default: all]")
@click.option("--kind", type=click.Choice(["wide", "deep"]), help="Tables, or short answers.  [default: both]")
@click.option("--limit", "-n", type=click.IntRange(1), help="At most so many.")
@DEBUG
def tasks(bench: str, split: str | None, kind: str | None, limit: int | None) -> None:
    """Print the tasks of BENCH with their gold answers, as JSON lines.

    BENCH is "pocket" (the bundled world), or a .jsonl[.gz] file of tasks.
    """
    from itertools import islice

    import msgspec

    from wideseek.assets import world_tasks
    from wideseek.records import Task, read_jsonl

    found = world_tasks() if bench == "pocket" else read_jsonl(bench, Task)
    chosen = [task for task in found if split in (None, task.split) and kind in (None, task.kind)]
    if not chosen:
        raise BadInput(f"{bench}: no task of split {split or 'any'} and kind {kind or 'any'}")
    for task in islice(chosen, limit):
        click.echo(msgspec.json.encode(task))
