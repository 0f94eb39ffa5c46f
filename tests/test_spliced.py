"""Spliced worlds: about nothing real, in the form of the real one, and never from dev or test."""

from __future__ import annotations

from functools import cache

from wideseek.answer import boxed, final_table
from wideseek.assets import world_pages, world_tasks
from wideseek.policy.scripted import Expert
from wideseek.records import Page, Task, read_jsonl
from wideseek.synth.questions import tasks_of
from wideseek.synth.spliced import known_lists, spliced_lists
from wideseek.synth.world import WorldList, pages_of
from wideseek.table import Table
from wideseek.team import Team

from .helpers import MemorySource


@cache
def real(split: str = "train") -> list[WorldList]:
    return known_lists(read_jsonl(world_pages(), Page), world_tasks(split))


def test_known_lists_are_the_lists_that_the_tasks_ask_about_with_their_values():
    pages = {page.url: page.text for page in read_jsonl(world_pages(), Page)}
    assert len(real()) == 547
    for one in real()[::50]:
        assert [page.text for page in pages_of([one])[1:3]] == [pages[page.url] for page in pages_of([one])[1:3]]


def test_equal_seeds_give_equal_lists_and_other_seeds_others():
    assert spliced_lists(real(), 5, 1) == spliced_lists(real(), 5, 1)
    assert spliced_lists(real(), 5, 1) != spliced_lists(real(), 5, 2)


def test_no_page_of_a_spliced_world_has_another_ones_address():
    pages = pages_of(spliced_lists(real(), 100, 3))
    assert len({page.url for page in pages}) == len(pages)


def test_most_of_a_spliced_world_is_new_so_that_it_cannot_be_learnt_by_heart():
    known = {member.name for one in real() for member in one.members} | {one.phrase for one in real()}
    made = spliced_lists(real(), 100, 4)
    names = [member.name for one in made for member in one.members] + [one.phrase for one in made]
    assert sum(name in known for name in names) < 0.35 * len(names)


def test_lists_of_dev_and_test_are_not_in_it():
    """Words may meet by chance to a phrase that dev or test has; then its members are other ones."""
    hidden = {one.phrase: {m.name for m in one.members} for split in ("dev", "test") for one in real(split)}
    assert not set(hidden) & {one.phrase for one in real()}
    for one in spliced_lists(real(), 200, 5):
        assert not hidden.get(one.phrase, set()) & {member.name for member in one.members}


def test_some_names_are_written_in_scripts_that_no_real_list_has():
    known = {char for one in real() for member in one.members for char in member.name}
    made = [m.name for one in spliced_lists(real(), 200, 7) for m in one.members]
    new = [name for name in made if any(char not in known for char in name if char.isalpha())]
    assert 0.02 * len(made) < len(new) < 0.2 * len(made)


def is_right(answer: str, task: Task) -> bool:
    if task.kind == "deep":
        return boxed(answer) in (task.answer or [])
    return final_table(answer) == Table.from_markdown(str(task.answer))


async def test_the_expert_solves_a_spliced_world_by_reading_it():
    made = spliced_lists(real(), 12, 6)
    team = Team({"lead": Expert()}, MemorySource(pages_of(made)))
    tasks = tasks_of(made, 0)
    right = [is_right((await team.solve(task)).answer, task) for task in tasks]
    assert sum(right) > 0.95 * len(tasks), "the grammar reads all but a few of the questions"


def test_some_values_begin_with_the_whole_value_of_another_column():
    lists = spliced_lists(real(), 100, 5)
    nested = [one for one in lists if any(_nested([member.name, *member.values]) for member in one.members)]
    assert len(nested) > 10


def _nested(values: list[str]) -> bool:
    return any(len(a) > 3 and b.startswith(f"{a} ") for a in values for b in values)
