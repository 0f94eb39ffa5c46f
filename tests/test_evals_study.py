"""The width-against-depth study: equal limits, points that are reused, curves compared only where both are known."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import LIGHTHOUSES, Model, table, team
from wideseek.config import Config
from wideseek.errors import BadInput, RunDirError
from wideseek.evals.curves import Curve, at_equal_cost, interpolate, interpolation_weights, no_overlap, overlap
from wideseek.evals.folder import EvalRun, load_run, write_whole
from wideseek.evals.metrics import summarise
from wideseek.evals.records import Attempt, Setup
from wideseek.evals.run import evaluate
from wideseek.evals.study import Limits, load_study, point_config, study_depth, study_width
from wideseek.evals.study_page import points_table, write_study
from wideseek.records import Task, Usage, write_jsonl

GOLD = table(*(f"| {name} | {height} |" for name, (height, _) in LIGHTHOUSES.items()))
COSTS = st.lists(st.floats(1, 1e6), min_size=1, max_size=6)
TASKS = [
    Task(instance_id=f"t{i}", question=f"Which lighthouses (list {i})?", answer=GOLD, unique_columns=["name"])
    for i in range(6)
]


class StandIn:
    """Evaluates without agents: item F1 and tokens follow from the configuration; counts its calls."""

    def __init__(self, *, tokens: bool = True, unscored: int = 0, model: str = "stand-in") -> None:
        self.tokens, self.unscored, self.model = tokens, unscored, model
        self.configs: list[Config] = []

    async def __call__(self, config: Config, folder: Path) -> EvalRun:
        self.configs.append(config)
        if (folder / "eval.json").exists():
            return load_run(folder)
        folder.mkdir(parents=True)
        setup = Setup(bench="lighthouses", trials=1, workflow=config.workflow, model=self.model, tasks=len(TASKS))
        setup.config = config.model_dump(mode="json", exclude_defaults=True)
        attempts = [self._attempt(config, number) for number in range(len(TASKS))]
        write_whole(folder / "eval.json", setup)
        write_jsonl(folder / "tasks.jsonl", TASKS)
        write_jsonl(folder / "scores.jsonl", attempts)
        write_whole(folder / "summary.json", summarise(setup, TASKS, attempts, interrupted=False))
        return load_run(folder)

    def _attempt(self, config: Config, number: int) -> Attempt:
        work = config.lead.max_calls if config.workflow == "team" else config.single.max_turns / 4
        work = min(work, config.single.context_tokens / 1000)
        f1 = min(1.0, 0.2 + 0.08 * work + 0.01 * number)
        scored = number >= self.unscored
        return Attempt(
            instance_id=f"t{number}",
            trial=0,
            language="en",
            kind="wide",
            outcome="scored" if scored else "policy",
            scores={"strict": {"f1_by_item": f1, "f1_by_row": f1, "score": float(f1 == 1)}} if scored else {},
            turns=int(2 + work),
            critical_steps=int(2 + 24 / work) if config.workflow == "team" else int(2 + work),
            usage=Usage(1, int(1000 * work) if self.tokens else 0),
        )


async def both_arms(out: Path, stand_in: StandIn) -> Any:
    await study_width([1, 5, 10], Config(), out, evaluate=stand_in, turn_limit=24, context_limit=16_000)
    return await study_depth([8, 24], [2_000, 16_000], Config(), out, evaluate=stand_in)


# -------------------------------------------------------------------------------------------------------------- limits


async def test_every_agent_has_the_same_limits_in_both_arms(tmp_path):
    stand_in = StandIn()
    await both_arms(tmp_path, stand_in)
    wide = stand_in.configs[:3]
    assert [config.lead.max_calls for config in wide] == [1, 5, 10]
    for config in wide:
        for role in (config.lead, config.sub, config.single):
            assert (role.max_turns, role.context_tokens) == (24, 16_000)
    varied = [(c.workflow, c.single.max_turns, c.single.context_tokens) for c in stand_in.configs[3:]]
    single = [("single", *limits) for limits in ((8, 16_000), (24, 16_000), (24, 2_000), (24, 16_000))]
    assert varied == single


def test_the_single_agent_may_call_as_many_tools_in_a_turn_as_a_subagent():
    config = point_config("turns", 5, Limits(20, 8_000), Config.merged({}, {"sub.max_calls": 3}))
    assert (config.single.max_calls, config.single.max_turns, config.workflow) == (3, 5, "single")


async def test_a_second_arm_keeps_the_first_ones_limits_and_refuses_others(tmp_path):
    stand_in = StandIn()
    await study_width([2], Config(), tmp_path, evaluate=stand_in, turn_limit=10)
    with pytest.raises(BadInput, match="limits are others"):
        await study_depth([5], [], Config(), tmp_path, evaluate=stand_in, turn_limit=12)
    with pytest.raises(BadInput, match="12 turns: beyond this study's limits"):
        await study_depth([12], [], Config(), tmp_path, evaluate=stand_in)
    study = await study_depth([5], [], Config(), tmp_path, evaluate=stand_in)
    assert study.plan.limits == Limits(10, 32_000)


@pytest.mark.parametrize("values", [[], [0, 1], [-3]])
async def test_values_below_one_are_refused(tmp_path, values):
    with pytest.raises(BadInput, match="--values: whole numbers from 1"):
        await study_width(values, Config(), tmp_path, evaluate=StandIn())


async def test_arms_of_different_models_are_not_put_on_one_plot(tmp_path):
    await study_width([2], Config(), tmp_path, evaluate=StandIn())
    with pytest.raises(BadInput, match="its model is 'another', that of .*team-w2 'stand-in'"):
        await study_depth([5], [], Config(), tmp_path, evaluate=StandIn(model="another"))


async def test_arms_of_different_configurations_are_not_put_on_one_plot(tmp_path):
    await study_width([2], Config(), tmp_path, evaluate=StandIn())
    warmer = Config.merged({}, {"sampling.temperature": 1.0})
    with pytest.raises(BadInput, match="its configuration is .*temperature"):
        await study_depth([5], [], warmer, tmp_path, evaluate=StandIn())


# ------------------------------------------------------------------------------------------------------------- resuming


async def test_points_are_run_folders_and_one_that_lies_on_two_curves_is_one_folder(tmp_path):
    study = await both_arms(tmp_path, StandIn())
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"team-w1", "team-w5", "team-w10", "single-t8-c16000", "single-t24-c16000", "single-t24-c2000"}
    assert len(study.points) == 7
    assert study.complete


async def test_a_study_goes_on_where_it_was_killed(tmp_path):
    stand_in = StandIn()

    async def killed_at_five(config: Config, folder: Path) -> EvalRun:
        if config.lead.max_calls == 5:
            raise KeyboardInterrupt
        return await stand_in(config, folder)

    with pytest.raises(KeyboardInterrupt):
        await study_width([1, 5, 10], Config(), tmp_path, evaluate=killed_at_five)
    partial = load_study(tmp_path)
    assert ([p.value for p in partial.points], partial.missing, partial.complete) == (
        [1],
        ["team-w5", "team-w10"],
        False,
    )
    html = write_study(partial)[-1].read_text()
    assert "Not run yet: team-w5, team-w10." in html
    assert (await study_width([1, 5, 10], Config(), tmp_path, evaluate=stand_in)).complete


async def test_a_complete_point_is_not_evaluated_again_by_the_real_evaluation(tmp_path):
    model = Model(lambda run: GOLD, tokens=5)

    async def real(config: Config, folder: Path) -> EvalRun:
        setup = Setup(bench="lighthouses", trials=1, model="model", config=config.model_dump(exclude_defaults=True))
        return await evaluate(TASKS, team(model, model), folder, setup)

    first = await study_width([1, 2], Config(), tmp_path, evaluate=real)
    calls = model.calls
    again = await study_width([1, 2], Config(), tmp_path, evaluate=real)
    assert calls == model.calls == 12
    assert points_table(again) == points_table(first)


def test_a_folder_without_a_study_is_one_clear_line(tmp_path):
    with pytest.raises(RunDirError, match="no study here"):
        load_study(tmp_path)


# -------------------------------------------------------------------------------------------------------- interpolation


def test_curves_are_linear_in_the_logarithm_of_their_cost():
    assert interpolate([100, 10_000], [0.2, 0.6], 1_000) == pytest.approx(0.4)
    assert interpolate([10_000, 100], [0.6, 0.2], 1_000) == pytest.approx(0.4)  # in whatever order
    assert interpolate([100, 1_000, 10_000], [0.0, 1.0, 0.0], 1_000) == 1.0


def test_outside_of_what_was_tried_a_curve_says_nothing():
    assert interpolate([100, 1_000], [0.1, 0.2], 99) is None
    assert interpolate([100, 1_000], [0.1, 0.2], 1_001) is None


def test_points_of_equal_cost_count_alike():
    assert interpolate([100, 100], [0.2, 0.4], 100) == pytest.approx(0.3)


@given(COSTS, st.floats(0, 1))
def test_interpolation_is_a_mean_of_points(costs, share):
    at = min(costs) + share * (max(costs) - min(costs))
    weights = interpolation_weights(costs, min(max(at, min(costs)), max(costs)))
    assert weights.sum() == pytest.approx(1)
    assert (weights >= -1e-9).all()


def test_curves_overlap_where_both_were_tried():
    assert overlap([1, 10], [5, 50]) == (5, 10)
    assert overlap([1, 10], [10]) == (10, 10)
    assert overlap([1, 10], [11, 50]) is None
    assert overlap([], [1]) is None


def test_equal_cost_is_compared_task_by_task():
    rng = np.random.default_rng(1)
    tasks = rng.uniform(0, 0.5, size=(30, 1))  # some tasks are harder than others: in both curves alike
    a = Curve("a", [100, 10_000], np.hstack([tasks + 0.1, tasks + 0.3]))
    b = Curve("b", [1_000, 5_000], np.hstack([tasks, tasks]))
    rows = at_equal_cost(a, b)
    assert [row.cost for row in rows] == [1_000, 5_000]
    assert rows[0].difference == pytest.approx(0.2)
    assert rows[0].ci95 == pytest.approx((0.2, 0.2))  # the paired difference does not vary
    assert rows[0].a - rows[0].b == pytest.approx(rows[0].difference)


def test_a_task_without_a_score_somewhere_is_left_out_of_the_comparison():
    a = Curve("a", [10, 20], np.array([[0.5, 0.5], [math.nan, 1.0]]))
    b = Curve("b", [10], np.array([[0.25], [1.0]]))
    [row] = at_equal_cost(a, b)
    assert (row.cost, row.a, row.b, row.difference) == (10, 0.5, 0.25, 0.25)


def test_without_overlap_nothing_is_compared_and_it_is_said():
    a, b = Curve("team", [10, 20], np.ones((2, 2))), Curve("single", [30, 40], np.ones((2, 2)))
    assert at_equal_cost(a, b) == []
    assert no_overlap(a, b, "tokens") == (
        "No comparison: the curves share no cost (tokens per attempt: team 10 to 20, single 30 to 40)."
    )


# -------------------------------------------------------------------------------------------------------------- outputs


async def test_a_study_writes_its_tables_its_picture_and_one_page(tmp_path):
    study = await both_arms(tmp_path, StandIn())
    written = {path.name: path for path in write_study(study)}
    assert set(written) == {"study.csv", "equal-cost.csv", "study.png", "study.html"}
    rows = list(csv.DictReader(written["study.csv"].open()))
    assert [(row["arm"], row["value"]) for row in rows[:3]] == [("width", "1"), ("width", "5"), ("width", "10")]
    assert float(rows[1]["item_f1"]) == pytest.approx(0.625)
    assert float(rows[1]["ci95_low"]) < 0.625 < float(rows[1]["ci95_high"])
    assert (rows[3]["arm"], rows[3]["turn_limit"], rows[3]["context_limit"]) == ("turns", "8", "16000")
    compared = list(csv.DictReader(written["equal-cost.csv"].open()))
    assert {(row["a"], row["b"], row["unit"]) for row in compared} == {
        ("team", f"single agent, {arm}", unit) for arm in ("turns", "context") for unit in ("tokens", "critical steps")
    }
    assert [float(row["critical_steps"]) for row in rows[:3]] == [26, 6, 4]
    assert written["study.png"].read_bytes().startswith(b"\x89PNG")
    html = written["study.html"].read_text()
    assert html.count("<svg") == 5
    assert "Every agent: at most 24 turns and 16,000 tokens of context" in html
    assert "src=" not in html
    assert "tokens per attempt" in html
    assert "critical steps per attempt" in html
    assert "width 1, 26 critical steps: 0.305" in html  # what a point of that chart says


async def test_without_token_counts_the_cost_is_in_model_calls_and_the_page_says_so(tmp_path):
    study = await both_arms(tmp_path, StandIn(tokens=False))
    assert study.cost_unit == "model calls"
    assert "counts no tokens" in write_study(study)[-1].read_text()


async def test_unscored_attempts_are_named_with_their_bound(tmp_path):
    study = await study_width([2], Config(), tmp_path, evaluate=StandIn(unscored=2))
    html = write_study(study)[-1].read_text()
    bound = study.points[0].item_f1.bound
    assert f"team-w2: attempts without a score: 2 policy; item F1 is at least {bound:.3f}" in html
    assert not study.complete


async def test_one_arm_makes_a_page_of_its_own(tmp_path):
    study = await study_width([1, 2], Config(), tmp_path, evaluate=StandIn())
    html = write_study(study)[-1].read_text()
    assert "<title>Width: stand-in on lighthouses</title>" in html
    assert html.count("<svg") == 3
    assert msgspec.json.decode((tmp_path / "study.json").read_bytes())["arms"] == {"width": [1, 2]}
