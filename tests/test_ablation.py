"""Ablations: which arms there are, what differs between them, that runs are made once, and what is written about them."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from filelock import FileLock

from tests.points import signalled_at
from tests.test_train_marl_loop import start as start  # the fixture
from wideseek.cli import app
from wideseek.cli.ablation.arms import ARMS, Job, chosen_arms
from wideseek.cli.ablation.controls import SFT_TOKENS, best_of, learnt_tokens
from wideseek.cli.ablation.measuring import probes
from wideseek.cli.ablation.run import run_job
from wideseek.cli.ablation.study import run_ablation
from wideseek.errors import BadInput, RunDirError
from wideseek.evals.ablation import (
    PLAN,
    RESULT,
    Plan,
    Run,
    load_ablation,
    read_plan,
    read_run,
    run_name,
    write_ablation,
)
from wideseek.evals.folder import write_whole
from wideseek.policy.scripted import LABEL
from wideseek.records import Completion, Rollout, Score, Task, Trajectory, Turn, read_jsonl
from wideseek.scoring.reward import Reward
from wideseek.train.checkpoint import checkpoints
from wideseek.train.groups import Group, prefilled_tokens, sampled_tokens
from wideseek.train.log import read_metrics
from wideseek.train.questions import Question
from wideseek.train.settings import MarlConfig, load_settings

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "nano-marl.toml"
SMALL = {
    "steps": 1, "questions": 2, "group": 4, "widths": [2], "eval.limit": 1, "eval.every": 1, "save_rollouts": False,
    "precision": "fp32",
}  # fmt: skip


def configured(**values: Any) -> MarlConfig:
    found = load_settings(CONFIG, {**SMALL, **values})
    assert isinstance(found, MarlConfig)
    return found


# ---------------------------------------------------------------------------------------------------------------- arms


def test_groups_stand_for_their_arms_and_controls_bring_the_run_they_are_measured_against():
    assert chosen_arms(["roles"], controls=False) == (["joint", "lead", "sub"], {"roles"})
    assert chosen_arms(["depth"], controls=True)[0] == [
        "joint", "single-768", "single-1280", "single", "sft", "sft-equal", "best-of-n",
    ]  # fmt: skip
    assert chosen_arms(["sft"], controls=False)[0] == ["joint", "sft"]
    assert chosen_arms(["width", "data"], controls=False) == (
        ["start", "joint", "deep", "hybrid"], {"width", "data"},
    )  # fmt: skip


def test_an_unknown_arm_is_one_line_with_those_that_there_are():
    with pytest.raises(BadInput, match=r"--arms: 'jiont' is no arm \(start, joint, .*\) and no group \(roles, "):
        chosen_arms(["jiont"], controls=True)


def test_every_arm_is_a_valid_configuration_that_differs_in_what_it_says():
    of = {name: configured(**arm.changes) for name, arm in ARMS.items()}
    assert {name: of[name].trained for name in ("joint", "lead", "sub", "single", "single-768")} == {
        "joint": ("lead", "sub"), "lead": ("lead",), "sub": ("sub",), "single": ("single",), "single-768": ("single",),
    }  # fmt: skip
    assert of["single-768"].team.single.context_tokens == 768
    assert (of["deep"].data.deep, of["hybrid"].data.deep, of["joint"].data.deep) == (1.0, 0.5, 0.0)
    budget = {(c.steps, c.questions, c.group) for c in of.values()}
    assert len(budget) == 1, "equal data: every arm asks as many questions as often"


def test_what_is_probed_besides_follows_from_the_group(tmp_path):
    job = Job("joint", configured(widths=[2, 5]), tmp_path, ("data", "width"))
    assert probes(job) == [*((f"width {w}", "wide", w) for w in (1, 2, 3, 5, 10)), ("short answers", "deep", 5)]


def test_the_best_rollout_is_kept_where_it_is_better_than_the_mean():
    def group(*advantages: float | None) -> Group:
        rollouts = [Rollout(task=Task(question="?"), trial=n) for n in range(len(advantages))]
        nothing = [Score() for _ in advantages], [Reward(0.0) for _ in advantages]
        return Group(Question(0, Task(question="?"), 1, 0), rollouts, *nothing, list(advantages))

    assert [rollout.trial for rollout in best_of(group(-1.0, 0.4, None, 0.9))] == [3]
    assert best_of(group(0.0, 0.0)) == []
    assert best_of(group(None, None)) == []


# ---------------------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano-base trained for one step, and its controls."""
    folder = tmp_path_factory.mktemp("ablation")
    for arm in ("joint", "sft", "sft-equal", "best-of-n"):
        run_job(Job(arm, configured(out=str(folder / run_name(arm, 0))), folder))
    return folder


def test_a_run_is_a_training_with_what_was_measured_before_and_after(study):
    run = read_run(study / "joint" / "seed-0")
    assert run is not None
    lines = read_metrics(study / "joint" / "seed-0" / "metrics.jsonl")
    assert run.start == {name: lines[0][f"eval_{name}_item_f1"] for name in ("greedy", "sampled")}
    assert run.final == {name: lines[-1][f"eval_{name}_item_f1"] for name in ("greedy", "sampled")}
    of = {"sampled": "sampled_tokens", "prefilled": "prefilled_tokens", "learnt": "computed_tokens"}
    assert run.tokens == {name: lines[1][figure] for name, figure in of.items()}
    assert run.tokens["prefilled"] > 0
    assert run.seconds == lines[-1]["seconds"]
    assert (study / "joint" / "seed-0" / "model" / "config.json").is_file()


def test_controls_learn_from_the_same_questions_for_the_same_tokens(study):
    joint, sft, best = (read_run(study / arm / "seed-0") for arm in ("joint", "sft", "best-of-n"))
    assert joint is not None
    assert sft is not None
    assert best is not None
    assert sft.start == best.start == joint.start
    wanted = joint.tokens["sampled"] + joint.tokens["learnt"]
    assert sft.tokens["learnt"] == max(1, wanted // SFT_TOKENS) * SFT_TOKENS
    assert best.tokens["learnt"] == max(1, joint.tokens["learnt"] // SFT_TOKENS) * SFT_TOKENS
    assert best.tokens["sampled"] > 0
    assert best.tokens["prefilled"] > 0
    assert set(sft.final) == set(best.final) == {"greedy", "sampled"}
    shown = {
        arm: list(read_jsonl(next((study / arm / "seed-0" / "demonstrations").glob("*.gz")), Rollout))
        for arm in ("sft", "best-of-n")
    }
    taught, best_ones = ({rollout.task.instance_id for rollout in shown[arm]} for arm in shown)
    assert len(taught) == 2
    assert best_ones <= taught
    assert LABEL not in str(shown["sft"][0].answer)


def test_compute_is_two_for_a_token_that_is_sampled_or_read_and_six_for_one_that_is_learnt():
    run = Run(arm="joint", seed=0, start={}, final={}, seconds=1.0)
    run.tokens = {"sampled": 1000, "prefilled": 500, "learnt": 300}
    assert run.compute == 2 * 1500 + 6 * 300
    sizes = {control: learnt_tokens(control, run) for control in ("sft", "sft-equal", "best-of-n")}
    assert sizes == {"sft": 1300, "sft-equal": 800, "best-of-n": 300}


def test_of_what_agents_are_given_equal_beginnings_are_prefilled_once():
    def agent(*turns: tuple[list[int], list[int]]) -> Trajectory:
        said = [Completion(prompt_ids=given, completion_ids=ids) for given, ids in turns]
        return Trajectory(role="sub", turns=[Turn([], one) for one in said])

    agents = [
        agent(([1, 2, 3], [9]), ([4, 5], [8])),
        agent(([1, 2, 3], [9]), ([4, 6], [8])),  # one new token
        agent(([1, 2, 3], [7]), ([4, 5], [8])),  # two: they follow another word
        agent(([5], [8])),
    ]
    rollouts = [Rollout(task=Task(question="?"), trajectories=agents[at : at + 2]) for at in (0, 2)]
    nothing = [Score(), Score()], [Reward(0.0), Reward(0.0)]
    group = Group(Question(0, Task(question="?"), 1, 0), rollouts, *nothing, [None, None])
    assert prefilled_tokens([group]) == (3 + 2) + 1 + 2 + 1
    assert sampled_tokens([group]) == 7


def test_the_equal_control_takes_as_much_compute_as_what_it_stands_beside_and_no_update_more(study):
    joint, equal = (read_run(study / arm / "seed-0") for arm in ("joint", "sft-equal"))
    assert joint is not None
    assert equal is not None
    assert equal.tokens["sampled"] == equal.tokens["prefilled"] == 0, "the expert costs nothing"
    assert 0 <= joint.compute - equal.compute < 6 * SFT_TOKENS


def test_what_has_ended_is_not_trained_or_asked_again(study):
    before = {path: path.read_bytes() for path in study.rglob("*") if path.name in ("metrics.jsonl", "scores.jsonl")}
    for arm in ("joint", "sft"):
        (study / arm / "seed-0" / RESULT).unlink()
        run_job(Job(arm, configured(out=str(study / run_name(arm, 0))), study))
    assert {path: path.read_bytes() for path in before} == before


def test_a_control_that_was_killed_makes_the_demonstrations_that_are_missing(study, tmp_path):
    """The kill came while a file was being written: what stands beside its place does not count."""
    shutil.copytree(study / "joint", tmp_path / "joint")
    job = Job("best-of-n", configured(out=str(tmp_path / "best-of-n" / "seed-0")), tmp_path)
    made = job.config.out / "demonstrations"
    made.mkdir(parents=True)
    (made / ".part-000000.jsonl.gz").write_bytes(b"half a file")
    run_job(job)
    whole, killed = (read_run(folder / "best-of-n" / "seed-0") for folder in (study, tmp_path))
    assert whole is not None
    assert killed is not None
    assert killed.tokens == whole.tokens
    kept = [path.name for path in made.glob("step-*.gz")]
    assert kept == ["step-000000.jsonl.gz"]


def test_a_control_is_judged_as_what_it_stands_beside(study, tmp_path):
    shutil.copytree(study / "joint", tmp_path / "joint")
    config = configured(out=str(tmp_path / "best-of-n" / "seed-0"), judge="http://127.0.0.1:9/v1#none")
    config.team.chat.attempts = 1
    with pytest.raises(BadInput, match="none had a rollout better"):
        run_job(Job("best-of-n", config, tmp_path))


def test_a_study_of_short_answers_alone_or_without_one_of_its_measures_is_refused(tmp_path):
    for key, value in (("eval.kind", "deep"), ("eval.greedy", False), ("eval.sampled", False)):
        with pytest.raises(BadInput, match="a study measures tables, greedy and sampled"):
            run_ablation(lambda more, k=key, v=value: configured(**{k: v}, **more), ["joint"], set(), 1, tmp_path / "s")


def test_a_control_without_its_run_is_refused(tmp_path):
    with pytest.raises(BadInput, match="sft/seed-0: its size is that of joint/seed-0, which has not ended"):
        run_job(Job("sft", configured(out=str(tmp_path / "sft" / "seed-0")), tmp_path))


def of_one_arm(start: Path, out: Path, **values: Any) -> list[str]:
    tasks = json.dumps([str(start / "tasks.jsonl")])
    smaller = {
        **{k: json.dumps(v) for k, v in {**SMALL, **values}.items()}, "model": str(start / "model"), "data.tasks": tasks,
        "eval.tasks": tasks, "team.sampling.max_tokens": "6", "team.local.kv_tokens": "8192",
    }  # fmt: skip
    sets = [part for key, value in smaller.items() for part in ("--set", f"{key}={value}")]
    return ["study", "ablation", str(CONFIG), *sets, "--arms", "joint", "--no-controls", "--out", str(out)]


def test_the_command_trains_in_processes_of_their_own_and_the_same_again_adds_what_is_missing(start, tmp_path):
    command = of_one_arm(start, tmp_path / "s")
    done = CliRunner().invoke(app, [*command, "--seeds", "1", "--json"])
    assert done.exit_code == 0, done.output
    [run] = json.loads((tmp_path / "s" / "summary.json").read_text())["runs"]
    assert (run["arm"], run["seed"], set(run["start"]), set(run["final"])) == (
        "joint",
        0,
        {"greedy", "sampled"},
        {"greedy", "sampled"},
    )
    assert run["seconds"] > 0
    again = CliRunner().invoke(app, [*command, "--seeds", "1"])
    assert again.exit_code == 0
    assert "1 done" in again.stderr
    other = CliRunner().invoke(app, [*command, "--seeds", "1", "--set", "steps=2"])
    assert isinstance(other.exception, BadInput)
    assert "this study has other settings (steps 1 -> 2): choose another --out" in str(other.exception)
    plan = read_plan(tmp_path / "s")
    assert plan is not None
    write_whole(tmp_path / "s" / PLAN, msgspec.structs.replace(plan, weights="others"))
    replaced = CliRunner().invoke(app, [*command, "--seeds", "1"])
    assert "began with other weights" in str(replaced.exception)


def test_a_study_that_is_interrupted_writes_what_there_is(start, tmp_path):
    study = [*of_one_arm(start, tmp_path / "s"), "--seeds", "3", "--jobs", "1"]
    begins_another = "concurrent.futures.process:ProcessPoolExecutor.submit"
    command = signalled_at(begins_another, 2, *study, what=signal.SIGINT)
    ended = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 130, ended.stderr
    summary = json.loads((tmp_path / "s" / "summary.json").read_text())
    assert [run["seed"] for run in summary["runs"]] == [0]
    assert "joint/seed-2" in summary["missing"]


def test_the_runs_of_a_study_that_was_killed_end_with_it_and_the_same_command_goes_on(start, tmp_path):
    study = [*of_one_arm(start, tmp_path / "s", steps=8), "--seeds", "1"]
    run = tmp_path / "s" / "joint" / "seed-0"
    command = signalled_at("wideseek.train.log:Log.write", 6, *study, whom="parent")
    killed = subprocess.run(command, cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL
    with FileLock(run / "lock"):  # when the run has ended too
        learnt = [line["step"] for line in read_metrics(run / "metrics.jsonl") if "reward" in line]
    assert 0 < len(learnt) < 8
    assert [path.name for path in checkpoints(run)] == [f"step-{learnt[-1]:06d}"], "it saved what it had learnt"
    again = subprocess.run([sys.executable, "-m", "wideseek", *study], stderr=subprocess.PIPE, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert [line["step"] for line in read_metrics(run / "metrics.jsonl") if "reward" in line] == [*range(1, 9)]


# ------------------------------------------------------------------------------------------------------------- writing


def saved(folder: Path, arm: str, seed: int, final: float, **more: Any) -> None:
    place = folder / run_name(arm, seed)
    place.mkdir(parents=True)
    start, end = {"greedy": 0.4, "sampled": 0.3}, {"greedy": final, "sampled": final - 0.1}
    curve = [(0, start), (10, end)]
    run = Run(
        arm=arm, seed=seed, start=start, final=end, seconds=60.0, curve=curve, reward=[(1, 0.3), (10, 0.6)], **more
    )
    write_whole(place / RESULT, run)


def planned(folder: Path, *arms: str, seeds: int = 2) -> None:
    write_whole(
        folder / PLAN,
        Plan(
            {"model": "m", "team": {"single": {"context_tokens": 2048}}},
            "8 questions",
            {arm: f"about {arm}" for arm in arms},
            list(range(seeds)),
        ),
    )


def test_a_study_writes_its_summary_its_table_its_picture_and_one_page(tmp_path):
    planned(tmp_path, "start", "joint", "single-768", "single")
    widths = {f"width {width}": {"greedy": 0.5, "sampled": 0.1 * width} for width in (1, 2, 5)}
    for seed in (0, 1):
        saved(tmp_path, "joint", seed, 0.7 + 0.1 * seed, probes=widths)
        for arm in ("start", "single-768", "single"):
            saved(tmp_path, arm, seed, 0.5)
    written = {path.name: path for path in write_ablation(load_ablation(tmp_path))}
    assert set(written) == {"summary.json", "study.csv", "study.png", "study.html"}
    summary = json.loads(written["summary.json"].read_text())
    assert [(run["arm"], run["seed"]) for run in summary["runs"]][2:4] == [("joint", 0), ("joint", 1)]
    assert summary["spread"]["joint"]["final_greedy"] == {"mean": 0.75, "low": 0.7, "high": pytest.approx(0.8)}
    assert summary["spread"]["joint"]["gain_greedy"]["mean"] == pytest.approx(0.35)
    rows = list(csv.DictReader(written["study.csv"].open()))
    assert float(rows[2]["width_5_sampled"]) == pytest.approx(0.5)
    html = written["study.html"].read_text()
    assert html.count("<svg") == 4, "learning curve, arms, width, depth"
    assert "about joint" in html
    assert "0.750 (0.700 to 0.800)" in html
    assert "not whether arms do" in html
    assert written["study.png"].read_bytes().startswith(b"\x89PNG")


def test_runs_that_are_missing_are_named(tmp_path):
    planned(tmp_path, "joint")
    saved(tmp_path, "joint", 1, 0.7)
    study = load_ablation(tmp_path)
    assert study.missing == ["joint/seed-0"]
    assert "Not run yet: joint/seed-0." in write_ablation(study)[-1].read_text()
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "study.html" in result.output


def test_a_folder_without_an_ablation_or_with_nothing_done_is_one_clear_line(tmp_path):
    with pytest.raises(RunDirError, match="no ablation here"):
        load_ablation(tmp_path)
    planned(tmp_path, "joint")
    with pytest.raises(BadInput, match="no run of this study has ended yet"):
        write_ablation(load_ablation(tmp_path))
    (tmp_path / PLAN).write_bytes(msgspec.json.encode({"config": 3}))
    with pytest.raises(RunDirError, match="cannot be read"):
        load_ablation(tmp_path)
