"""The scripted expert on the pocket world: right on every task by really reading, honest about everything else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import msgspec
import pytest

from wideseek.answer import boxed, final_table
from wideseek.assembly import open_source
from wideseek.assets import world_tasks
from wideseek.evidence import supported_share, trace
from wideseek.policy.scripted import TEACHING, TRUNCATED, WEAK, Expert, Habits, Manner
from wideseek.records import Rollout, Task
from wideseek.roles import Profile
from wideseek.scoring.table import score_rollout
from wideseek.table import Table
from wideseek.team import Team

TEST_TASKS = list(world_tasks("test"))


@pytest.fixture
async def team() -> AsyncIterator[Team]:
    source = open_source(None)
    yield Team({"lead": Expert()}, source)
    await source.close()


async def is_solved(team: Team, task: Task, workflow: str) -> bool:
    rollout = await team.solve(task, workflow=workflow)
    if task.kind == "deep":
        return boxed(rollout.answer) in task.answer
    table = final_table(rollout.answer)
    return table == Table.from_markdown(task.answer) and supported_share(trace(table, ["name"], rollout)) == 1.0


async def test_the_team_solves_every_test_task_with_every_cell_supported(team):
    failed = [task.instance_id for task in TEST_TASKS if not await is_solved(team, task, "team")]
    assert failed == []


async def test_the_single_agent_solves_them_too(team):
    failed = [task.instance_id for task in TEST_TASKS[::4] if not await is_solved(team, task, "single")]
    assert failed == []


async def test_it_never_sees_the_gold_answer(team):
    task = next(task for task in TEST_TASKS if task.kind == "wide")
    blind = Task(question=task.question)
    rollout = await team.solve(blind)
    assert final_table(rollout.answer) == Table.from_markdown(task.answer)


@pytest.mark.parametrize(
    "question",
    [
        "hello",
        "What is love?",
        "List all moons of Jupiter with their mass.",
        "1 + 1 = ?",
        "Which are the largest cities of Atlantis? Give population.",
        "请列出所有灯塔。",
        "?" * 500,
        "Give me the 2031 winners of everything, with country.",
        "List the medalists of Iraq at the Olympics in Weightlifting with their medal.",
    ],
)
async def test_a_question_outside_its_world_gets_an_honest_answer_without_a_table(team, question):
    rollout = await team.solve(Task(question=question, kind="wide"))
    assert final_table(rollout.answer) is None
    assert "scripted expert, no language model" in rollout.answer


@pytest.mark.parametrize(
    "question",
    [
        "give me the chemical elements of group 18, with symbols and mass",
        "Chemical elements of group 18: symbol, mass?",
        "I'd love a table of all the Chemical Elements of Group 18. Columns: Name, Symbol, Mass. Thanks!",
    ],
)
async def test_human_wordings_are_understood(team, question):
    rollout = await team.solve(Task(question=question, kind="wide"))
    table = final_table(rollout.answer)
    assert table is not None
    assert ["Neon", "Ne", "20.18 u"] in table.rows


async def test_a_column_that_the_pages_do_not_name_stays_empty(team):
    rollout = await team.solve(Task(question="Name all islands of Palau with their population density.", kind="wide"))
    table = final_table(rollout.answer)
    assert table is not None
    assert {row[1] for row in table.rows} == {""}


# ------------------------------------------------------------------------------------------------------------ teaching


async def taught(manner: Manner, form: str, limit: int = 12) -> list[Rollout]:
    source = open_source(None)
    team = Team({"lead": Expert(manner)}, source, profile=Profile.load("nano"))
    tasks = [task for task in world_tasks("train") if task.meta["form"] == form][:limit]
    rollouts = [await team.solve(task) for task in tasks]
    await source.close()
    return rollouts


@pytest.mark.parametrize("form", ["plain", "filtered", "which", "of_which", "attribute"])
async def test_a_teacher_solves_its_tasks_without_signing_them(form):
    for rollout in await taught(TEACHING, form):
        score = await score_rollout(rollout)
        assert score.value == 1.0
        assert "expert" not in rollout.answer


async def test_a_teacher_numbers_its_rows_and_readers_drop_the_numbers():
    (rollout,) = await taught(TEACHING, "plain", 1)
    assert "| #1 |" in rollout.answer
    assert final_table(rollout.answer).columns[0] == "name"


async def test_a_teachers_subagents_test_what_the_lead_asks_them_to_test():
    rollouts = await taught(TEACHING, "filtered")
    reports = [run for rollout in rollouts for run in rollout.trajectories if run.prompt.startswith("get ")]
    ruled_out = [run for run in reports if run.answer.endswith(" no")]
    assert ruled_out
    assert all(run.turns[-1].completion.reasoning.endswith(": no") for run in ruled_out)


async def test_a_teacher_compares_numbers_digit_by_digit_and_the_last_step_decides():
    notes = [
        run.turns[-1].completion.reasoning.splitlines()[-1]
        for rollout in await taught(TEACHING, "filtered", 60)
        for run in rollout.trajectories[2:]
    ]
    compared = [re.fullmatch(r".* ([<>]) .*: (?:.*, )?(\d+) (\d+) ([<=>]): (yes|no)", note) for note in notes]
    found = [match for match in compared if match]
    assert {match[5] for match in found} == {"yes", "no"}
    for match in found:
        one, other = int(match[2]), int(match[3])
        assert match[4] == ("=" if one == other else ">" if one > other else "<")
        assert (match[1] == match[4]) == (match[5] == "yes"), match[0]


async def test_a_teacher_notes_the_best_so_far_before_it_picks_an_extreme():
    rollouts = [r for r in await taught(TEACHING, "which", 60) if r.task.meta.get("extreme")]
    assert rollouts
    for rollout in rollouts:
        notes = rollout.lead.turns[-1].completion.reasoning.splitlines()
        assert len(notes) == len(rollout.trajectories) - 2, "one note for each member"


@pytest.mark.parametrize(
    ("habit", "shows"),
    [
        ("direct", lambda rollout: len(rollout.trajectories) == 2),
        ("truncated", lambda rollout: len(rollout.trajectories[1].answer.splitlines()) == TRUNCATED),
        ("lumped", lambda rollout: any(" & #" in run.prompt for run in rollout.trajectories)),
        ("unread", lambda rollout: not any(run.read for run in rollout.trajectories[2:])),
    ],
)
async def test_a_bad_habit_shows_and_costs(habit, shows):
    manner = msgspec.structs.replace(TEACHING, habits=Habits(**{habit: 1.0}))
    rollouts = [r for r in await taught(manner, "plain") if len(r.task.meta["gold_pages"]) > TRUNCATED + 1]
    assert rollouts
    for rollout in rollouts:
        assert shows(rollout)
        assert (await score_rollout(rollout)).value < 1.0


async def test_habits_follow_from_the_seed_alone():
    assert [r.answer for r in await taught(WEAK, "plain")] == [r.answer for r in await taught(WEAK, "plain")]
