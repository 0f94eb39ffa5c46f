"""Whole trainings of a tiny random model on a reward that it can learn, and the parts that a training is made of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM

from tests.marl import config as settings
from tests.marl import sample, tiny_model
from tests.training import terse_tokenizer, tiny
from wideseek.cli import app
from wideseek.errors import BadConfig, BadInput, RunDirError
from wideseek.records import Rollout, Score, Task, write_jsonl
from wideseek.roles import Profile
from wideseek.scoring.reward import Reward
from wideseek.train.checkpoint import checkpoints
from wideseek.train.groups import Group
from wideseek.train.log import read_metrics
from wideseek.train.loop import run_marl
from wideseek.train.model import save_model
from wideseek.train.policy_learner import PolicyLearner, PolicyUpdate
from wideseek.train.questions import Questions
from wideseek.train.settings import MarlConfig, load_settings
from wideseek.train.stream import Stream

CONFIGS = Path(__file__).parents[1] / "configs"


def even(rollout: Rollout, _: Score) -> Reward:
    """A reward that any policy can raise: the share of its tokens with an even id."""
    ids = [at for run in rollout.trajectories for turn in run.turns for at in turn.completion.completion_ids or []]
    return Reward(sum(at % 2 == 0 for at in ids) / len(ids))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and tasks."""
    folder = tmp_path_factory.mktemp("marl")
    tokenizer = terse_tokenizer(Profile.load("nano"))
    save_model(tiny(vocab_size=len(tokenizer)), tokenizer, folder / "model")
    tasks = [
        Task(instance_id=f"w{n}", question=f"Lighthouses {n}?", answer="```\n| name |\n|---|\n| A |\n```")
        for n in range(5)
    ]
    tasks += [Task(instance_id=f"d{n}", question=f"Where is {n}?", answer=["there"]) for n in range(3)]
    write_jsonl(folder / "tasks.jsonl", tasks)
    return folder


def marl(start: Path, out: Path, **values: Any) -> MarlConfig:
    limits = {"max_turns": 2, "max_calls": 2, "context_tokens": 512}
    team = {
        "prompts": "nano", "sampling": {"temperature": 1.0, "max_tokens": 12}, "lead": limits, "sub": limits,
        "local": {"threads": 1, "kv_tokens": 8192}, **values.pop("team", {}),
    }  # fmt: skip
    merged: dict[str, Any] = {
        "model": str(start / "model"), "out": str(out), "data": {"tasks": [str(start / "tasks.jsonl")]}, "questions": 2,
        "group": 4, "steps": 2, "staleness": 0, "precision": "fp32", "threads": 1, "credit": "all", "widths": [2],
        "optimizer": {"lr": 0.01, "warmup": 0.0, "decay": 0.0}, "eval": {"every": 0}, "team": team, **values,
    }  # fmt: skip
    return MarlConfig.model_validate(merged)


def lines(out: Path) -> list[dict[str, Any]]:
    return read_metrics(out / "metrics.jsonl")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    return found


# --------------------------------------------------------------------------------------------------- whole trainings


def test_the_reward_rises_and_the_first_ratio_is_one(start: Path, tmp_path: Path) -> None:
    run_marl(marl(start, tmp_path, steps=20, group=8), quiet=True, rewarding=even)
    made = lines(tmp_path)
    assert np.mean([line["reward"] for line in made[-5:]]) > np.mean([line["reward"] for line in made[:5]]) + 0.15
    assert all(abs(line["largest_ratio"] - 1) < 1e-3 for line in made if line["trained_tokens"])
    assert all(line["staleness"] == 0 for line in made)
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_a_step_of_staleness_is_bounded_and_learns_too(start: Path, tmp_path: Path) -> None:
    run_marl(marl(start, tmp_path, steps=6, staleness=1), quiet=True, rewarding=even)
    stale = [line["staleness"] for line in lines(tmp_path)]
    assert max(stale) == 1
    assert lines(tmp_path)[-1]["reward"] > lines(tmp_path)[0]["reward"]


def test_resuming_after_a_kill_gives_the_same_curve(start: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_marl(marl(start, whole, steps=4), quiet=True, rewarding=even)
    calls = 0

    def dies(rollout: Rollout, score: Score) -> Reward:
        nonlocal calls
        calls += 1
        if calls > 2 * 8 + 3:  # in the middle of the third step
            raise KeyboardInterrupt
        return even(rollout, score)

    with pytest.raises(KeyboardInterrupt):
        run_marl(marl(start, killed, steps=4, save_every=1), quiet=True, rewarding=dies)
    assert [path.name for path in checkpoints(killed)] == ["step-000001", "step-000002"]
    with pytest.raises(RunDirError, match="--resume"):
        run_marl(marl(start, killed, steps=4), quiet=True, rewarding=even)
    run_marl(marl(start, killed, steps=4, save_every=1), quiet=True, resume=True, rewarding=even)
    for name in ("reward", "loss", "gradient_norm", "entropy"):
        wanted = pytest.approx([line[name] for line in lines(whole)], rel=1e-4, abs=1e-6)
        assert [line[name] for line in lines(killed)] == wanted, name


def test_a_frozen_role_keeps_its_weights_and_gives_no_gradient(start: Path, tmp_path: Path) -> None:
    seen: list[Group] = []

    def record(groups: Sequence[Group], *_: object) -> None:
        seen.extend(groups)

    run_marl(marl(start, tmp_path, steps=2, roles=["lead"]), quiet=True, record=record, rewarding=even)
    runs = [run for group in seen for rollout in group.rollouts for run in rollout.trajectories]
    assert all(turn.trainable == (run.role == "lead") for run in runs for turn in run.turns)


def test_an_outage_changes_no_weight_and_says_why(start: Path, tmp_path: Path) -> None:
    def out(*_: object) -> Reward:
        return Reward(None, why="the judge is down")

    with pytest.raises(BadInput, match=r"step 0: none of its 8 rollouts could be scored \(the judge is down\)"):
        run_marl(marl(start, tmp_path), quiet=True, rewarding=out)
    before, after = weights(start / "model"), weights(checkpoints(tmp_path)[-1])
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_unscored_rollouts_are_counted_and_the_rest_is_learnt_from(start: Path, tmp_path: Path) -> None:
    def shaky(rollout: Rollout, score: Score) -> Reward:
        return Reward(None, why="down") if rollout.trial == 0 else even(rollout, score)

    run_marl(marl(start, tmp_path, steps=1), quiet=True, rewarding=shaky)
    (line,) = lines(tmp_path)
    assert line["unscored"] == 2
    assert line["gradient_norm"] > 0


def test_what_is_not_finite_is_skipped_and_stops_after_so_many_with_its_batch(start: Path, tmp_path: Path) -> None:
    def broken(rollout: Rollout, score: Score) -> Reward:
        for run in rollout.trajectories:
            for turn in run.turns:
                turn.completion.logprobs = [float("nan")] * len(turn.completion.completion_ids or [])
        return even(rollout, score)

    with pytest.raises(BadInput, match="not finite in 2 updates running"):
        run_marl(marl(start, tmp_path, steps=4, stop_after=2), quiet=True, rewarding=broken)
    assert len(np.load(tmp_path / "not-finite.npz")["ids"])
    assert lines(tmp_path)[0]["skipped"] == 1


def test_adapters_train_alone_and_the_saved_model_is_plain(start: Path, tmp_path: Path) -> None:
    run_marl(marl(start, tmp_path, steps=2, save_every=1, lora={"rank": 2}), quiet=True, rewarding=even)
    before, after = weights(start / "model"), weights(tmp_path / "model")
    changed = {name for name in before if not torch.allclose(before[name], after[name])}
    assert changed
    assert all("proj" in name for name in changed), "embeddings and norms are frozen"
    run_marl(marl(start, tmp_path, steps=3, save_every=1, lora={"rank": 2}), quiet=True, resume=True, rewarding=even)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    assert abs(lines(tmp_path)[-1]["ratio"] - 1) < 1e-3, "the engine's weights are those with the adapters"


# ------------------------------------------------------------------------------------------------------- the learner


def gradients(learner: PolicyLearner) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    samples = [sample(rng.integers(0, 50, 20), [18, 19], [-3.0, -3.0], weight) for weight in (0.4, -0.3)]
    learner.accumulate(samples, PolicyUpdate())
    return [p.grad for p in learner.model.parameters() if p.grad is not None]


def test_gradient_checkpointing_changes_no_gradient() -> None:
    plain = gradients(PolicyLearner(tiny_model(), settings()))
    again = gradients(PolicyLearner(tiny_model(), settings(gradient_checkpointing=True)))
    assert len(plain) == len(again)
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(plain, again, strict=True))


def test_merged_adapters_say_what_the_model_with_adapters_says() -> None:
    learner = PolicyLearner(tiny_model(), settings(lora={"rank": 2}))
    with torch.no_grad():
        for name, parameter in learner.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    plain = tiny_model()
    plain.load_state_dict(learner.weights())
    ids = torch.arange(9)[None]
    said = learner.model(input_ids=ids, segments=[9], use_cache=False).logits
    assert torch.allclose(plain(input_ids=ids, segments=[9], use_cache=False).logits, said, rtol=1e-9)


def test_a_pass_whose_mean_ratio_is_beyond_the_limit_is_dropped_and_counted() -> None:
    far = sample(range(20), [18, 19], [-30.0, -30.0], 0.5)
    learner, update = PolicyLearner(tiny_model(), settings(loss={"drop_ratio": 5.0})), PolicyUpdate()
    learner.accumulate([far], update)
    assert (update.dropped, update.targets) == (1, 0)
    assert all(p.grad is None for p in learner.model.parameters())


def test_a_step_without_samples_changes_nothing() -> None:
    learner = PolicyLearner(tiny_model(), settings(optimizer={"weight_decay": 0.1}))
    before = {name: tensor.clone() for name, tensor in learner.weights().items()}
    assert learner.step([]).finite
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.weights().items())


# -------------------------------------------------------------------------------------------------------- the stream


async def test_batches_come_in_question_order_and_never_ahead_of_the_bound() -> None:
    version, begun = 0, []

    async def make(number: int) -> int:
        begun.append((number, version))
        await asyncio.sleep(0.02 if number % 3 == 0 else 0.001)  # some are stragglers
        return number

    stream = Stream(make, size=3, first=0, last=4, staleness=1)
    for step in range(4):
        assert await stream.batch(step) == [3 * step, 3 * step + 1, 3 * step + 2]
        version = step + 1
        stream.advance(version)
    assert all(number // 3 - at <= 1 for number, at in begun)
    assert any(number // 3 > at for number, at in begun), "the next batch began while stragglers ran"


async def test_without_staleness_the_next_batch_waits_for_the_update() -> None:
    version, begun, running, most = 0, [], 0, 0

    async def make(number: int) -> int:
        nonlocal running, most
        begun.append(number // 2 - version)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return number

    stream = Stream(make, size=2, first=0, last=3, staleness=0)
    for step in range(3):
        await stream.batch(step)
        await asyncio.sleep(0.005)
        version = step + 1
        stream.advance(version)
    assert begun == [0] * 6
    assert most == 2


async def test_a_group_that_fails_ends_the_batch_and_closing_cancels_the_rest() -> None:
    async def make(number: int) -> int:
        if number == 0:
            raise BadInput("refused")
        await asyncio.sleep(60)
        return number

    stream = Stream(make, size=2, first=0, last=1, staleness=0)
    with pytest.raises(BadInput, match="refused"):
        await stream.batch(0)
    await asyncio.wait_for(stream.close(), 1)


# ----------------------------------------------------------------------------------------------- questions, settings


def test_question_n_is_always_the_same_and_kinds_are_mixed_evenly(start: Path, tmp_path: Path) -> None:
    data = {"tasks": [str(start / "tasks.jsonl")], "deep": 0.25}
    one, other = (Questions(marl(start, tmp_path, data=data, widths=[2, 3, 5])) for _ in range(2))
    asked = [one[n] for n in range(20)]
    assert [other[n] for n in reversed(range(20))] == asked[::-1]
    assert [q.task.kind for q in asked[:8]] == ["wide", "wide", "wide", "deep"] * 2
    wide = [q.task.instance_id for q in asked if q.task.kind == "wide"]
    assert sorted(wide[:5]) == sorted(wide[5:10]) == [f"w{n}" for n in range(5)]
    assert wide[:5] != wide[5:10]
    assert {q.width for q in asked} == {2, 3, 5}
    assert len({q.seed for q in asked}) == 20


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("group", 1, "group: input should be greater than or equal to 2"),
        ("widths", [], "widths: list should have at least 1 item"),
        ("widths", [0], "every width is 1 at least"),
        ("group_sise", 8, "group_sise: unknown; did you mean group"),
        ("loss.clip_hihg", 0.3, "did you mean loss.clip_high"),
        ("roles", ["single"], "single does not work in the workflow 'team'"),
        ("team.sampling.top_p", 0.9, "top_p = 1"),
        ("team.sampling.temperature", 0, "temperature above 0"),
    ],
)
def test_bad_settings_are_one_line(key: str, value: Any, said: str) -> None:
    with pytest.raises(BadConfig, match=r".*") as caught:
        load_settings(CONFIGS / "nano-marl.toml", {key: value})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_kind_of_question_that_no_task_has_is_refused(start: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "wide.jsonl", [Task(instance_id="w", question="?", answer="| a |\n|---|\n| b |")])
    with pytest.raises(BadInput, match="holds no deep task"):
        Questions(marl(start, tmp_path, data={"tasks": [str(tmp_path / "wide.jsonl")], "deep": 0.5}))
    with pytest.raises(BadInput, match="neither a file nor one of pocket-train"):
        Questions(marl(start, tmp_path, data={"tasks": ["pocket"]}))


@pytest.mark.parametrize("name", ["nano-marl", "single", "qwen3-4b"])
def test_the_same_command_trains_a_tiny_model(name: str, start: Path, tmp_path: Path) -> None:
    """Each published configuration, only smaller: by the command, with evaluation, recorded rollouts and a report."""
    smaller = {
        "model": str(start / "model"), "steps": 1, "questions": 2, "group": 2, "precision": "fp32", "team.prompts": "nano",
        "data.tasks": [str(start / "tasks.jsonl")], "eval.tasks": [str(start / "tasks.jsonl")], "eval.limit": 1,
        "team.sampling.max_tokens": 6, "team.local.kv_tokens": 8192, "team.local.dtype": "float32", "threads": 1,
    }  # fmt: skip
    sets = [part for key, value in smaller.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    result = CliRunner().invoke(app, ["train", str(CONFIGS / f"{name}.toml"), *sets, "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output.splitlines()[-1])["model"] == str(tmp_path / "model")
    rollouts = tmp_path / "rollouts" / "step-000000"
    page = CliRunner().invoke(app, ["report", str(rollouts)])
    assert page.exit_code == 0, page.output
    assert list(rollouts.glob("*.html"))
    assert (tmp_path / "evals" / "step-000001-greedy" / "summary.json").is_file()
