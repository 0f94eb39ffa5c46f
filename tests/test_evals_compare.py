"""Two runs on the same tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_evals_metrics import attempt
from wideseek.errors import BadInput
from wideseek.evals import EvalRun, Setup
from wideseek.evals.compare import compare
from wideseek.records import Task


def tasks(count: int, word: str = "q") -> list[Task]:
    return [Task(instance_id=f"t{i}", question=f"{word} {i}", answer="| a |\n|---|\n| 1 |") for i in range(count)]


def run(asked: list[Task], success: list[float | None], trials: int = 1) -> EvalRun:
    """`success` holds the trials of the first task, then those of the second ..."""
    rows = [attempt(asked[i // trials], i % trials, value) for i, value in enumerate(success)]
    return EvalRun(Path("run"), Setup(bench="b", trials=trials), asked, rows, None)


def test_a_clear_difference_is_found_and_corrected_for_three_metrics():
    asked = tasks(12)
    found = compare(run(asked, [0.0] * 12), run(asked, [1.0] * 12))
    assert [d.metric for d in found.differences] == ["item_f1", "row_f1", "success"]
    for d in found.differences:
        assert (d.a, d.b, d.difference, d.better, d.worse, d.tasks) == (0.0, 1.0, 1.0, 12, 0, 12)
        assert d.p == 2 / 2**12
        assert d.p_holm == 3 * d.p
        assert d.ci95 == (1.0, 1.0)


def test_equal_runs_do_not_differ():
    asked = tasks(5)
    found = compare(run(asked, [1, 0, 1, 0, 0.5]), run(asked, [1, 0, 1, 0, 0.5]))
    assert {(d.difference, d.p, d.p_holm, d.better, d.worse) for d in found.differences} == {(0.0, 1.0, 1.0, 0, 0)}


def test_swapping_the_runs_changes_the_sign_alone():
    asked = tasks(8)
    a, b = run(asked, [0, 0, 0.5, 1, 0, 0.2, 0, 1]), run(asked, [1, 0, 1, 1, 0.5, 0, 1, 1])
    one, other = compare(a, b).differences[0], compare(b, a).differences[0]
    assert (one.difference, one.better, one.p) == (-other.difference, other.worse, other.p)
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]), abs=0.02)


def test_trials_of_a_task_are_averaged_first_and_unscored_tasks_are_left_out():
    asked = tasks(3)
    a, b = run(asked, [1, 0, None, None, 0, 0], trials=2), run(asked, [1, 1, 1, 1, 0.5, None], trials=2)
    first = compare(a, b).differences[0]
    assert (first.tasks, first.a, first.b) == (2, 0.25, 0.75)


def test_only_tasks_that_are_the_same_are_compared():
    other = tasks(4)
    other[1] = Task(instance_id="t1", question="asked otherwise", answer=other[1].answer)
    found = compare(run(tasks(3), [1, 1, 1]), run(other, [0, 0, 0, 0]))
    assert (found.shared, found.left_out) == (2, 1)


def test_runs_without_a_shared_task_are_bad_input():
    with pytest.raises(BadInput, match=r"run \(b\) and run \(b\) share no task"):
        compare(run(tasks(2), [1, 1]), run(tasks(2, "other"), [1, 1]))


def test_a_comparison_reads_as_a_table():
    asked = tasks(3)
    lines = compare(run(asked, [0, 0, 0]), run(asked, [1, 1, 0])).as_table().records()
    assert lines[2]["metric"] == "success (strict)"
    assert (lines[2]["A"], lines[2]["B"], lines[2]["B - A"], lines[2]["better"]) == ("0.000", "0.667", "+0.667", "2")
    assert [line["metric"] for line in lines[3:]] == ["tokens", "US dollars", "model calls", "critical steps"]
