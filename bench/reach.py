"""What nano and the expert say of questions beside the templates, and of the templates' own.

    python bench/reach.py                     questions of bench/off_template.jsonl: right, refused, partial (rows
                                              are missing, which the result says), wrong
    python bench/reach.py --templates 60      so many of the pocket world's test tasks: how many are refused (0: all)

A question that the world answers has `list` and `columns`, and its table is right if it has every member of the list
with the values of the members' pages; every other table that is shown is wrong, and one of 485 is "without saying so".
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import click

import wideseek
from wideseek.api import Result
from wideseek.assets import world_pages, world_tasks
from wideseek.reach.pages import facts, members
from wideseek.records import Page, read_jsonl

QUESTIONS = Path(__file__).with_name("off_template.jsonl")


@click.command()
@click.option("--model", multiple=True, default=("expert", "nano"), help="Who is asked.")
@click.option("--templates", type=int, help="Ask so many test tasks instead; 0: all.")
@click.option("--questions", type=click.Path(path_type=Path), default=QUESTIONS, help="Other questions, in JSON lines.")
def main(model: tuple[str, ...], templates: int | None, questions: Path) -> None:
    for name in model:
        off_template(name, questions) if templates is None else of_templates(name, templates)


def off_template(model: str, questions: Path) -> None:
    pages = {page.title: page for page in read_jsonl(world_pages(), Page)}
    asked = [json.loads(line) for line in questions.read_text().splitlines()]
    counts = dict.fromkeys(("right", "refused", "partial", "wrong"), 0)
    for number, one in enumerate(asked, 1):
        result = wideseek.ask(one["question"], model=model)
        verdict = judged(result, one, pages)
        counts[verdict] += 1
        if number % 10 == 0:
            click.echo(f"{model}: {number} questions so far: {counts}")
        if verdict != "refused":
            click.echo(f"  {verdict}: {one['question']} -> {result.table.columns} {result.table.rows[:2]}")
    click.echo(f"{model}: {len(asked)} questions: {counts}")


def judged(result: Result, one: dict[str, Any], pages: dict[str, Page]) -> str:
    if result.status != "complete":
        return "partial" if result.status == "partial" else "refused"
    if "list" not in one:
        return "wrong"
    columns = one["columns"]
    right = {(name, *(facts(pages[name]).get(c, "") for c in columns)) for name in members(pages[one["list"]])}
    places = [result.table.columns.index(c) for c in columns if c in result.table.columns]
    shown = {(row[0], *(row[place] for place in places)) for row in result.table.rows}
    return "right" if shown == right else "wrong"


def of_templates(model: str, count: int) -> None:
    tasks = [task for task in world_tasks("test") if task.kind in ("wide", "deep")]
    tasks = random.Random(0).sample(tasks, count) if count else tasks
    refused = 0
    for number, task in enumerate(tasks, 1):
        result = wideseek.ask(task.question, model=model)
        if result.status == "failed":
            refused += 1
            click.echo(f"  {task.instance_id} {task.question}\n    {result.reason[:300]}")
        if number % 10 == 0 or number == len(tasks):
            click.echo(f"{model}: {refused} of {number} test questions refused")


if __name__ == "__main__":
    main()
