"""Figures over trials and tasks: known values, and what must hold whatever the scores are."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import delegate, script, table, team
from wideseek.evals.metrics import (
    critical_seconds,
    critical_steps,
    levels_of,
    measure,
    metric_of,
    score_matrix,
    scores_of,
    summarise,
    summary_table,
)
from wideseek.evals.records import Attempt, Setup, Work
from wideseek.evals.stats import bootstrap_interval, holm, sign_flip_test, wilson_interval
from wideseek.evidence import Levels
from wideseek.records import Completion, Rollout, Task, Trajectory, Turn, Usage

NAN = math.nan
MATRICES = st.integers(1, 6).flatmap(
    lambda trials: st.lists(
        st.lists(st.one_of(st.floats(0, 1), st.just(NAN)), min_size=trials, max_size=trials), min_size=1, max_size=8
    )
)


def attempt(task: Task, trial: int = 0, success: float | None = 1.0, **fields: Any) -> Attempt:
    """An attempt at a wide task; `success=None` leaves it without a score."""
    scores = {} if success is None else {"strict": {"score": success, "f1_by_item": success, "f1_by_row": success}}
    fields = {"outcome": "policy" if success is None else "scored", "scores": scores, "kind": "wide"} | fields
    return Attempt(instance_id=task.instance_id, trial=trial, language=task.language or "en", **fields)


# ---------------------------------------------------------------------------------------------------------- metrics


def test_avg_max_min_and_pass_are_taken_per_task_and_then_over_tasks():
    metric = metric_of(np.array([[1.0, 0.0, 0.5], [0.2, 0.4, 0.6]]), proportion=True)
    assert metric.avg == pytest.approx((0.5 + 0.4) / 2)
    assert metric.max == pytest.approx((1.0 + 0.6) / 2)
    assert metric.min == pytest.approx((0.0 + 0.2) / 2)
    assert metric.pass_at_n == metric.max
    assert (metric.tasks, metric.attempts, metric.planned) == (2, 6, 6)
    assert metric.bound == pytest.approx(metric.avg)


def test_an_unscored_attempt_is_left_out_of_the_mean_and_is_nought_in_the_bound():
    metric = metric_of(np.array([[0.8, NAN], [0.4, 0.6], [NAN, NAN]]))
    assert metric.avg == pytest.approx((0.8 + 0.5) / 2)
    assert metric.bound == pytest.approx((0.8 + 0.4 + 0.6) / 6)
    assert (metric.tasks, metric.attempts, metric.planned) == (2, 3, 6)


def test_without_a_score_there_is_no_figure():
    assert metric_of(np.array([[NAN, NAN]])) is None
    assert metric_of(np.empty((0, 3))) is None


def test_tables_and_short_answers_make_figures_of_their_own_and_success_of_both():
    wide, deep = Task(instance_id="w", question="q", answer="| a |"), Task(instance_id="d", question="q", answer=["x"])
    rows = [
        Attempt(
            instance_id="w",
            trial=0,
            language="en",
            kind="wide",
            outcome="scored",
            scores={"strict": {"score": 0.0, "f1_by_item": 0.5, "f1_by_row": 0.25}},
        ),
        Attempt(
            instance_id="d",
            trial=0,
            language="en",
            kind="deep",
            outcome="scored",
            scores={"strict": {"em": 0.0, "f1": 0.5, "contains": 1.0, "judged": 1.0}},
        ),
    ]
    scores = scores_of("strict", [wide, deep], rows, 1)
    assert (scores.item_f1.avg, scores.item_f1.tasks) == (0.5, 1)
    assert (scores.row_f1.avg, scores.em.avg, scores.answer_f1.avg, scores.em.tasks) == (0.25, 0.0, 0.5, 1)
    assert (scores.success.avg, scores.success.tasks) == (0.5, 2)
    _, matrix = score_matrix("success", "strict", [wide, deep], rows, 1)
    assert matrix.tolist() == [[0.0], [1.0]]


def test_the_summary_splits_by_language_and_counts_what_has_no_score():
    en, zh = (
        Task(instance_id="en", question="Which?", answer="| a |"),
        Task(instance_id="zh", question="哪些？", answer="| a |"),
    )
    rows = [attempt(en, 0), attempt(en, 1, None, problem="down"), attempt(zh, 0, 0.0)]
    setup = Setup(bench="b", trials=2, width=10, model="m")
    summary = summarise(setup, [en, zh], rows, interrupted=False)
    assert (summary.planned, summary.scored, summary.status) == (4, 2, "partial")
    assert summary.unscored == {"policy": 1, "missing": 1}
    assert summary.problems == ["1 × down"]
    assert (summary.success.avg, summary.success.bound) == (0.5, 0.25)
    assert (summary.by_language["en"].success.avg, summary.by_language["zh"].success.avg) == (1.0, 0.0)
    assert summarise(setup, [en, zh], rows, interrupted=True).status == "interrupted"
    lines = summary_table(summary).records()
    assert [line["metric"] for line in lines][:3] == ["item_f1 (strict)", "row_f1 (strict)", "success (strict)"]
    assert lines[2]["scored"] == "2 of 4"


def test_a_run_of_which_every_attempt_failed_has_failed():
    task = Task(instance_id="t", question="q", answer="| a |")
    summary = summarise(Setup(bench="b", trials=1), [task], [attempt(task, 0, None)], interrupted=False)
    assert summary.status == "failed"
    assert summary.success is None


def test_the_ledger_adds_up():
    task = Task(instance_id="t", question="q", answer="| a |")
    lead, sub, judge = Usage(2, 20, 2, 0.2), Usage(3, 30, 3, 0.3), Usage(1, 5, 1, 0.1)
    row = attempt(
        task, usage=lead + sub, usage_by_role={"lead": lead, "sub": sub}, spent=lead + sub + sub, judge_usage=judge
    )
    costs = summarise(Setup(bench="b", trials=1), [task], [row], interrupted=False).costs
    assert costs.by_role == {"lead": lead, "sub": sub}
    assert (costs.total.calls, costs.total.tokens) == (9, 94)
    assert (costs.abandoned.calls, costs.abandoned.prompt_tokens) == (3, 30)
    parts = [*costs.by_role.values(), costs.judge, costs.abandoned]
    assert sum(part.usd for part in parts) == pytest.approx(costs.total.usd)


@given(MATRICES)
@settings(deadline=None, max_examples=60)
def test_figures_are_ordered_and_bounded(rows):
    matrix = np.array(rows)
    metric = metric_of(matrix, proportion=True)
    if metric is None:
        assert np.isnan(matrix).all()
        return
    tiny = 1e-9
    assert -tiny <= metric.min <= metric.avg + tiny <= metric.max + 2 * tiny <= 1 + 3 * tiny
    assert metric.bound <= metric.avg * (1 + tiny) or np.isnan(matrix).any()
    assert metric.bound * matrix.size == pytest.approx(np.nansum(matrix))
    if metric.ci95:
        assert metric.ci95[0] <= metric.avg <= metric.ci95[1]


@given(MATRICES, st.randoms())
@settings(deadline=None, max_examples=40)
def test_the_order_of_tasks_and_trials_makes_no_difference(rows, random):
    shuffled = [random.sample(row, len(row)) for row in random.sample(rows, len(rows))]
    one, other = metric_of(np.array(rows), proportion=True), metric_of(np.array(shuffled), proportion=True)
    assert (one is None) == (other is None)
    if one and other:
        figures = ("avg", "max", "min", "bound", "pass_at_n")
        assert [getattr(one, f) for f in figures] == pytest.approx([getattr(other, f) for f in figures])


# ----------------------------------------------------------------------------------------------------------- attempts


async def test_what_agents_did_is_counted_from_what_ran():
    lead = script(delegate("Bovbjerg", "Dueodde"), table("| Bovbjerg | 26 m |", "| Dueodde | 99 m |"))

    def sub(run: Trajectory) -> Any:
        url = f"https://pocket.example/{run.prompt.lower()}"
        turns = (
            [("search", {"query": run.prompt})],
            [("access", {"url": url}), ("access", {"url": "nowhere"})],
            "done",
        )
        return turns[len(run.turns)]

    task = Task(instance_id="t", question="q", answer="| a |", unique_columns=["Name"])
    crew = team(lead, sub)
    rollout = await crew.solve(task)
    row = measure(attempt(task), rollout, crew.profile, crew.roles, timed=True)
    assert (row.searches, row.reads, row.subagents) == (2, 2, 2)
    assert (row.turns, row.width, row.depth) == (8, 2, 3)
    assert row.critical_steps == 2 + 3
    assert set(row.usage_by_role) == {"lead", "sub"}
    assert row.usage == row.usage_by_role["lead"] + row.usage_by_role["sub"]
    assert row.supported == 3 / 4  # the wrong height stands on no page
    assert row.levels == levels_of(rollout) == Levels(supported=3, unsupported=1)
    assert row.seconds == rollout.seconds > 0
    assert row.critical_seconds > 0
    resumed = measure(attempt(task), rollout, crew.profile, crew.roles, timed=False)
    assert resumed.seconds is resumed.critical_seconds is None


Tree = list[list[Any]]
"""An agent: of each of its turns the agents that it started there."""

TREES = st.recursive(
    st.lists(st.just([]), max_size=4), lambda agents: st.lists(st.lists(agents, max_size=3), max_size=4), max_leaves=12
)


def agents_of(tree: Tree, path: str = "lead") -> list[Trajectory]:
    """The agents of a tree as a rollout holds them; each turn takes a second, and an agent what it has to wait for."""
    own = Trajectory(role="lead" if path == "lead" else "sub", path=path, seconds=steps_of(tree))
    own.turns = [Turn([], Completion(), 1.0) for _ in tree]
    children = [(f"{path}/{t}.{i}", child) for t, turn in enumerate(tree, 1) for i, child in enumerate(turn, 1)]
    return [own, *(agent for place, child in children for agent in agents_of(child, place))]


def steps_of(tree: Tree) -> int:
    """The formula: the sum over the turns of 1 + the longest of the agents started there."""
    return sum(1 + max((steps_of(child) for child in turn), default=0) for turn in tree)


@given(TREES)
def test_critical_steps_are_the_turns_and_of_each_turn_the_longest_subagent_in_any_tree(tree):
    rollout = Rollout(task=Task(question="q"), trajectories=agents_of(tree))
    steps = critical_steps(rollout)
    assert steps == steps_of(tree)
    assert steps == critical_seconds(rollout)  # as each turn takes a second
    assert rollout.depth <= steps <= sum(len(run.turns) for run in rollout.trajectories)


@given(TREES, st.randoms())
def test_the_order_in_which_agents_are_kept_changes_no_critical_step(tree, random):
    runs = agents_of(tree)
    shuffled = random.sample(runs, len(runs))
    task = Task(question="q")
    assert critical_steps(Rollout(task=task, trajectories=shuffled)) == steps_of(tree)


def test_parallel_branches_of_a_deeper_tree_are_not_added_up():
    reader: Tree = [[], [], []]
    branch: Tree = [[reader, reader], [reader], []]  # 4 + 4 + 1
    lead: Tree = [[branch, branch, reader], []]
    rollout = Rollout(task=Task(question="q"), trajectories=agents_of(lead))
    assert critical_steps(rollout) == (1 + 9) + 1


def test_run_folders_that_called_them_critical_turns_are_read_and_written_as_critical_steps():
    old = {"instance_id": "t", "trial": 0, "language": "en", "kind": "wide", "outcome": "scored", "critical_turns": 9}
    row = msgspec.convert(old, Attempt)
    work = msgspec.convert({"turns": 12.0, "critical_turns": 8.5}, Work)
    assert (row.critical_steps, work.critical_steps) == (9, 8.5)
    assert all("critical_turns" not in msgspec.to_builtins(one) for one in (row, work))


# --------------------------------------------------------------------------------------------------------- statistics


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [(0.8, 10, 0.4902, 0.9433), (0.5, 20, 0.2993, 0.7007), (0.0, 10, 0.0, 0.2775), (1.0, 485, 0.9921, 1.0)],
)
def test_wilson_intervals_of_textbooks(share, count, low, high):
    assert wilson_interval(share, count) == pytest.approx((low, high), abs=5e-5)


def test_the_bootstrap_agrees_with_every_possible_resample():
    values = [0.0, 0.3, 0.35, 0.9, 1.0]
    means = [float(np.mean(draw)) for draw in itertools.product(values, repeat=5)]
    exact = np.quantile(means, [0.025, 0.975])
    assert bootstrap_interval(values, resamples=60_000) == pytest.approx(exact, abs=0.011)


def test_a_large_sample_has_the_normal_interval():
    values = np.random.default_rng(1).normal(0.5, 0.1, 2_000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert bootstrap_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=2e-4)


def test_one_task_has_no_interval():
    assert bootstrap_interval([0.4]) is None
    assert wilson_interval(1.0, 1) is None


def test_intervals_are_the_same_every_time():
    assert bootstrap_interval([0.1, 0.5, 0.7]) == bootstrap_interval([0.1, 0.5, 0.7])


def test_the_sign_flip_test_counts_all_signs_of_few_tasks():
    # All five of one sign: 2 of 32 patterns are as extreme. One against four: sums of 3 or more in absolute value.
    assert sign_flip_test([0.1] * 5) == 2 / 32
    assert sign_flip_test([1, 1, 1, 1, -1]) == (2 * (1 + 5)) / 32
    assert sign_flip_test([0.2, -0.2]) == 1.0
    assert sign_flip_test([0.0, 0.0]) == 1.0
    assert sign_flip_test(np.random.default_rng(0).normal(0.2, 0.5, 12)) == 0.0732421875  # scipy.stats.permutation_test


def test_drawn_signs_agree_with_all_signs():
    d = np.random.default_rng(3).normal(0.3, 1.0, 14)
    exact = sign_flip_test(d)
    # Two nearly weightless tasks make it draw, and change next to nothing.
    drawn = sign_flip_test([*d, 1e-9, -1e-9], resamples=40_000)
    assert drawn == pytest.approx(exact, abs=0.01)


def test_holm_is_that_of_r():
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_corrected_p_values_are_never_smaller_and_keep_their_order(p_values):
    corrected = holm(p_values)
    assert all(0 <= p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    assert [c for _, c in sorted(zip(p_values, corrected, strict=True))] == sorted(corrected)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=10))
@settings(deadline=None, max_examples=60)
def test_a_p_value_does_not_depend_on_which_run_comes_first(differences):
    assert sign_flip_test(differences) == sign_flip_test([-d for d in differences])
    assert 0 < sign_flip_test(differences) <= 1
