"""Whole trainings of a tiny random model on a reward that it can learn, and the parts that a training is made of."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.clock import settled
from tests.marl import config as settings
from tests.marl import even, lines, marl, sample, start_folder, tiny_model, weights
from wideseek.assets import bundled_model, world_tasks
from wideseek.cli import app
from wideseek.errors import BadConfig, BadInput
from wideseek.records import Completion, Rollout, Score, Task, Trajectory, Turn, write_jsonl
from wideseek.scoring.judge import ExactJudge, JudgeFailed
from wideseek.scoring.reward import Reward
from wideseek.train.batch import policy_samples
from wideseek.train.checkpoint import checkpoints
from wideseek.train.credit import mark
from wideseek.train.groups import Group
from wideseek.train.loop import run_marl
from wideseek.train.model import model_folder
from wideseek.train.policy_learner import PolicyLearner, PolicyUpdate
from wideseek.train.questions import Questions, read_tasks
from wideseek.train.settings import load_settings
from wideseek.train.stream import Stream

CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("marl"))


# --------------------------------------------------------------------------------------------------- whole trainings


def test_the_reward_rises_and_the_first_ratio_is_one(start: Path, tmp_path: Path) -> None:
    run_marl(marl(start, tmp_path, steps=20, group=8), quiet=True, rewarding=even)
    made = lines(tmp_path)
    assert np.mean([line["reward"] for line in made[-5:]]) > np.mean([line["reward"] for line in made[:5]]) + 0.15
    assert all(abs(line["largest_ratio"] - 1) < 1e-3 for line in made if line["trained_tokens"])
    assert all(line["staleness"] == 0 for line in made)
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_a_step_of_staleness_is_bounded_and_learns_too(start: Path, tmp_path: Path) -> None:
    run_marl(marl(start, tmp_path, steps=20, group=8, staleness=1), quiet=True, rewarding=even)
    made = lines(tmp_path)
    assert max(line["staleness"] for line in made) == 1
    assert np.mean([line["reward"] for line in made[-5:]]) > np.mean([line["reward"] for line in made[:5]]) + 0.1


@pytest.mark.parametrize(("roles", "frozen"), [(["lead"], None), (["sub"], "expert")])
def test_a_frozen_role_works_and_is_not_trained(
    roles: list[str], frozen: str | None, start: Path, tmp_path: Path
) -> None:
    seen: list[Group] = []

    def record(groups: Sequence[Group], *_: object) -> None:
        seen.extend(groups)

    pocket = {"tasks": ["pocket-train"], "limit": 3}
    chosen = marl(start, tmp_path, steps=2, roles=roles, frozen=frozen, data=pocket)
    run_marl(chosen, quiet=True, record=record, rewarding=even)
    runs = [run for group in seen for rollout in group.rollouts for run in rollout.trajectories]
    assert {run.role for run in runs} >= {"lead", *roles}
    assert all(turn.trainable == (run.role in roles) for run in runs for turn in run.turns)
    versions = {(run.role in roles, turn.completion.version) for run in runs for turn in run.turns}
    assert versions == {(True, 0), (True, 1)} | ({(False, 0)} if frozen else set())


@pytest.mark.parametrize("role", ["lead", "sub"])
def test_the_role_that_is_not_trained_keeps_the_starting_weights(role: str, start: Path, tmp_path: Path) -> None:
    """Of nano-base, whose lead delegates: the weights that sampled the other role's turns never change."""
    versions: dict[str, set[int | None]] = {"lead": set(), "sub": set()}

    def record(groups: Sequence[Group], *_: object) -> None:
        for run in (run for group in groups for rollout in group.rollouts for run in rollout.trajectories):
            versions[run.role] |= {turn.completion.version for turn in run.turns}
            assert all(turn.trainable == (run.role == role) for turn in run.turns)

    limits = {"max_turns": 3, "max_calls": 2, "context_tokens": 2048}
    team = {"sampling": {"temperature": 1.0, "max_tokens": 64}, "lead": limits, "sub": limits}
    pocket = {"tasks": ["pocket-train"], "limit": 3}
    chosen = marl(start, tmp_path, model="nano-base", roles=[role], data=pocket, team=team)
    run_marl(chosen, quiet=True, record=record, rewarding=even)
    assert versions == {"lead": {0}, "sub": {0}} | {role: {0, 1}}
    assert [line["gradient_norm"] > 0 for line in lines(tmp_path)] == [True, True]


def test_frozen_agents_are_no_samples_and_do_not_count_in_the_weights(start: Path) -> None:
    group = policy_samples([delegated()], [1.0])
    assert [sample.role for sample in group] == ["lead", "sub"]
    frozen = delegated()
    mark(frozen, "all", well_formed=True, roles=("sub",))
    (alone,) = policy_samples([frozen], [1.0])
    assert (alone.role, alone.weight) == ("sub", 2 * group[1].weight)


def test_an_outage_changes_no_weight_and_says_why(start: Path, tmp_path: Path) -> None:
    def out(*_: object) -> Reward:
        return Reward(None, why="the judge is down")

    with pytest.raises(BadInput, match=r"step 0: none of its 8 rollouts could be scored \(the judge is down\)"):
        run_marl(marl(start, tmp_path), quiet=True, rewarding=out)
    before, after = weights(start / "model"), weights(checkpoints(tmp_path)[-1])
    assert all(torch.equal(before[name], after[name]) for name in before)


class DownJudge(ExactJudge):
    """A judge that cannot be reached."""

    async def accepts(self, *_: object) -> bool:
        raise JudgeFailed("the judge is down")


@asynccontextmanager
async def no_judging() -> AsyncIterator[DownJudge]:
    yield DownJudge()


def test_a_judge_that_fails_changes_no_weight(tmp_path: Path) -> None:
    """The bundled start answers in the form asked for, and never what is accepted, so that the judge has to say."""
    asked = next(task for task in world_tasks("train") if task.kind == "deep")
    write_jsonl(tmp_path / "tasks.jsonl", [msgspec.structs.replace(asked, answer=["what nobody says"])])
    config = load_settings(
        CONFIGS / "nano-marl.toml",
        {
            "model": "nano-base", "out": str(tmp_path / "run"), "questions": 1, "group": 4, "steps": 1, "eval.every": 0,
            "data.tasks": [str(tmp_path / "tasks.jsonl")], "data.deep": 1.0,
        },
    )  # fmt: skip
    assert config.kind == "marl"
    with pytest.raises(BadInput, match="could be scored .*the judge is down"):
        run_marl(config, quiet=True, judging=no_judging)
    before, after = weights(bundled_model("nano-base")), weights(checkpoints(tmp_path / "run")[-1])
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
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000001"], "what was learnt until then is saved"


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


def delegated() -> Rollout:
    """A lead and a subagent, of one turn each."""
    said = Completion(prompt_ids=[1, 2], completion_ids=[3, 4], logprobs=[-1.0, -1.0])
    return Rollout(
        trajectories=[
            Trajectory(role="lead", turns=[Turn([], said)], stop="answer"),
            Trajectory(role="sub", path="lead/1.1", turns=[Turn([], said)], stop="answer"),
        ],
        task=Task(),
    )


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


def test_gradients_in_bf16_are_near_those_in_fp32() -> None:
    exact, near = (
        torch.cat([grad.flatten() for grad in gradients(PolicyLearner(tiny_model().float(), settings(precision=name)))])
        for name in ("fp32", "bf16")
    )
    assert near.dtype == torch.float32
    error = float((exact - near).norm() / exact.norm())
    assert 1e-5 < error < 0.05, "another precision, nearly the same gradient"


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


@pytest.mark.parametrize("lora", [{}, {"rank": 2}])
def test_the_reference_of_the_kl_penalty_stays_what_the_model_was_at_first(lora: dict[str, int]) -> None:
    learner = PolicyLearner(tiny_model(), settings(loss={"kl": 0.1}, lora=lora, optimizer={"lr": 0.01}))
    one = sample(range(20), [17, 18, 19], [0.0] * 3, 0.5)
    assert learner.step([one]).reference_kl == pytest.approx(0, abs=1e-9)
    moved = learner.step([one]).reference_kl
    assert moved > 1e-6
    assert learner.step([one]).reference_kl > moved


@pytest.mark.parametrize("logprob", [float("nan"), -float("inf")])
def test_nothing_is_updated_by_a_loss_that_is_not_finite(logprob: float) -> None:
    learner = PolicyLearner(tiny_model(), settings())
    before = {name: tensor.clone() for name, tensor in learner.weights().items()}
    samples = [sample(range(20), [18, 19], [logprob, -3.0], weight) for weight in (0.4, -0.4)]
    assert not learner.step(samples).finite
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.weights().items())
    assert learner.step([sample(range(20), [18], [-3.0], 0.4)]).finite
    assert learner.optimizers.step(1.0, loss=float("inf")) == 0


def test_a_step_without_samples_changes_nothing() -> None:
    learner = PolicyLearner(tiny_model(), settings(optimizer={"weight_decay": 0.1}))
    before = {name: tensor.clone() for name, tensor in learner.weights().items()}
    assert learner.step([]).finite
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.weights().items())


# -------------------------------------------------------------------------------------------------------- the stream


async def turns(count: int) -> None:
    """Let the other tasks have so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_batches_come_in_question_order_and_never_ahead_of_the_bound() -> None:
    version, begun = 0, []

    async def make(number: int) -> int:
        begun.append((number, version))
        await turns(20 if number % 3 == 0 else 1)  # some are stragglers
        return number

    stream = Stream(make, size=3, first=0, last=4, staleness=1)
    for step in range(4):
        assert await stream.batch(step) == [3 * step, 3 * step + 1, 3 * step + 2]
        version = step + 1
        stream.advance(version)
    assert all(number // 3 - at <= 1 for number, at in begun)
    assert any(number // 3 > at for number, at in begun), "the next batch began while stragglers ran"


async def test_the_next_batch_is_made_while_stragglers_run_and_while_the_step_is_learnt() -> None:
    begun: list[int] = []
    straggler = asyncio.Event()

    async def make(number: int) -> int:
        begun.append(number)
        if number == 1:
            await straggler.wait()
        return number

    stream = Stream(make, size=2, first=0, last=3, staleness=1)
    waiting = asyncio.ensure_future(stream.batch(0))
    await settled()
    assert begun == [0, 1, 2, 3], "all of the next batch beside the straggler of this one"
    straggler.set()
    assert await waiting == [0, 1]
    await settled()  # the learner is at work
    assert begun == [0, 1, 2, 3], "the batch after it needs the update"
    stream.advance(1)
    assert await stream.batch(1) == [2, 3]
    await settled()
    assert begun == [0, 1, 2, 3, 4, 5]


async def test_without_staleness_the_next_batch_waits_for_the_update() -> None:
    version, begun, running, most = 0, [], 0, 0

    async def make(number: int) -> int:
        nonlocal running, most
        begun.append(number // 2 - version)
        running += 1
        most = max(most, running)
        await turns(3)
        running -= 1
        return number

    stream = Stream(make, size=2, first=0, last=3, staleness=0)
    for step in range(3):
        await stream.batch(step)
        await settled()
        version = step + 1
        stream.advance(version)
    assert begun == [0] * 6
    assert most == 2


async def test_a_group_that_fails_ends_the_batch_and_closing_cancels_the_rest() -> None:
    async def make(number: int) -> int:
        if number == 0:
            raise BadInput("refused")
        await asyncio.Event().wait()
        return number

    stream = Stream(make, size=2, first=0, last=1, staleness=0)
    with pytest.raises(BadInput, match="refused"):
        await stream.batch(0)
    await stream.close()


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
        ("team.lead.max_turn", 3, "did you mean team.lead.max_turns"),
        ("team.model", "nano", "team.model: a training has a key of its own for that: model"),
        ("team.budget.calls", 3, "team.budget: a training has no budget"),
        ("team.sampling.top_p", 0.9, "top_p = 1"),
        ("team.sampling.temperature", 0, "temperature above 0"),
    ],
)
def test_bad_settings_are_one_line(key: str, value: Any, said: str) -> None:
    with pytest.raises(BadConfig, match=r".*") as caught:
        load_settings(CONFIGS / "nano-marl.toml", {key: value})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("expert", "cannot be trained"),
        ("http://localhost:8000/v1#qwen", "cannot be trained"),
        ("runs/nano/base/nowhere", "no such folder"),
        ("/nowhere", "no such folder"),
    ],
)
def test_a_model_that_cannot_be_trained_is_refused_before_anything_is_asked_of_the_hub(name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        model_folder(name)
    assert model_folder("Qwen/Qwen3-4B") == "Qwen/Qwen3-4B"


def test_tasks_that_nothing_could_be_scored_against_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    for task, said in (
        (Task(question="?"), "has no gold answer"),
        (Task(question="?", answer="none"), "no gold table"),
    ):
        write_jsonl(path, [task])
        with pytest.raises(BadInput, match=said):
            read_tasks([str(path)])


def test_a_tokenizer_without_a_chat_template_is_refused(start: Path, tmp_path: Path) -> None:
    shutil.copytree(start / "model", tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    with pytest.raises(BadInput, match="the tokenizer has no chat template"):
        run_marl(marl(start, tmp_path / "out", model=str(tmp_path / "model")), quiet=True)


def test_a_kind_of_question_that_no_task_has_is_refused(start: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "wide.jsonl", [Task(instance_id="w", question="?", answer="| a |\n|---|\n| b |")])
    with pytest.raises(BadInput, match="holds no deep task"):
        Questions(marl(start, tmp_path, data={"tasks": [str(tmp_path / "wide.jsonl")], "deep": 0.5}))
    with pytest.raises(BadInput, match="neither a file nor one of pocket-train"):
        Questions(marl(start, tmp_path, data={"tasks": ["pocket"]}))


FIGURES = """
    step seconds reward item_f1 success format_ok access_used tool_calls malformed_calls answered subagents turns
    dead_groups unscored loss gradient_norm ratio largest_ratio clipped kl reference_kl entropy trained_tokens
    computed_tokens merged_tokens by_turn_tokens dropped_passes skipped staleness lr_share sampled_tokens
    sampled_tokens_per_s computed_tokens_per_s seconds_waiting seconds_learning seconds_step eval_greedy_item_f1
    eval_sampled_item_f1
"""


@pytest.mark.parametrize("name", ["nano-marl", "single", "qwen3-4b"])
def test_the_same_command_trains_a_tiny_model(name: str, start: Path, tmp_path: Path) -> None:
    """Each published configuration, only smaller: by the command, with evaluation, recorded rollouts and a report."""
    smaller = {
        "model": str(start / "model"), "steps": 1, "questions": 2, "group": 2, "precision": "fp32", "team.prompts": "nano",
        "data.tasks": [str(start / "tasks.jsonl")], "eval.tasks": [str(start / "tasks.jsonl")], "eval.limit": 1,
        "team.sampling.max_tokens": 6, "team.local.kv_tokens": 8192, "team.local.dtype": "float32", "threads": 1,
        "loss.kl": 0.01,  # so that something is learnt even where all rewards are 0, as those of random weights are
    }  # fmt: skip
    sets = [part for key, value in smaller.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    result = CliRunner().invoke(app, ["train", str(CONFIGS / f"{name}.toml"), *sets, "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output.splitlines()[-1])["model"] == str(tmp_path / "model")
    (step,) = (line for line in lines(tmp_path) if "loss" in line)
    assert set(FIGURES.split()) <= {*step, *lines(tmp_path)[0]}
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert step["trained_tokens"] == step["sampled_tokens"] > 0
    assert step["skipped"] == 0
    rollouts = tmp_path / "rollouts" / "step-000000"
    page = CliRunner().invoke(app, ["report", str(rollouts)])
    assert page.exit_code == 0, page.output
    assert list(rollouts.glob("*.html"))
    assert (tmp_path / "evals" / "step-000001-greedy" / "summary.json").is_file()
