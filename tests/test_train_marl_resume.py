"""Trainings that are killed, interrupted or out of disk go on to the curve that they would have had."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.marl import even, lines, marl, start_folder, weights
from tests.training import tiny_model
from wideseek.errors import BadInput, BudgetEnded, RunDirError
from wideseek.files import DRAFT
from wideseek.journal import locked
from wideseek.records import Rollout, Score, Task
from wideseek.scoring.reward import Reward
from wideseek.team import Team
from wideseek.train.checkpoint import checkpoints
from wideseek.train.loop import run_marl
from wideseek.train.settings import MarlConfig

TRAIN = """
import sys
from tests.marl import even
from tests.points import signal_at
from wideseek.train.loop import run_marl
from wideseek.train.settings import MarlConfig
signal_at(sys.argv[2], int(sys.argv[3]))
run_marl(MarlConfig.model_validate_json(sys.argv[1]), resume=True, quiet=True, rewarding=even)
"""
CURVE = ("reward", "loss", "gradient_norm", "entropy", "trained_tokens")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("marl"))


def assert_same_curve(out: Path, whole: Path) -> None:
    assert [line["step"] for line in lines(out)] == [line["step"] for line in lines(whole)]
    for name in CURVE:
        wanted = pytest.approx([line[name] for line in lines(whole)], rel=1e-4, abs=1e-6)
        assert [line[name] for line in lines(out)] == wanted, name


def killed(config: MarlConfig, point: str, number: int) -> None:
    """Train in another process, which is killed when `point` is reached for the `number`th time."""
    command = [sys.executable, "-W", "ignore", "-c", TRAIN, config.model_dump_json(), point, str(number)]
    process = subprocess.run(command, cwd=Path(__file__).parents[1], check=False)
    assert process.returncode == -signal.SIGKILL


def test_a_training_that_is_killed_while_it_saves_and_while_it_works_gives_the_same_curve(
    start: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    run_marl(marl(start, whole, steps=6), quiet=True, rewarding=even)
    config = marl(start, out, steps=6, save_every=1)
    killed(config, "torch:save", 2)  # the weights of the second checkpoint are written, it is not whole
    [draft] = (out / "checkpoints").glob(f"{DRAFT}*")
    assert (draft / "model.safetensors").exists()
    killed(config, "wideseek.train.policy_learner:PolicyLearner.step", 3)
    assert checkpoints(out), "what was whole is still there"
    run_marl(config, quiet=True, resume=True, rewarding=even)
    assert_same_curve(out, whole)
    wanted, found = weights(whole / "model"), weights(out / "model")
    for (
        name
    ) in wanted:  # what is sampled beside what changes rounding, and Adam makes more of it where gradients are tiny
        assert float((wanted[name] - found[name]).norm() / wanted[name].norm()) < 1e-3, name


# ------------------------------------------------------------------------------------------------------- interrupted


class Phases:
    """Hooks into a training that interrupt it once, in the given phase."""

    def __init__(self, phase: str) -> None:
        self._phase: str | None = phase
        self.measured: list[str] = []

    def _interrupt_in(self, phase: str) -> None:
        if phase == self._phase:
            self._phase = None
            os.kill(os.getpid(), signal.SIGINT)

    def reward(self, rollout: Rollout, score: Score) -> Reward:
        self._interrupt_in("rollout")
        return even(rollout, score)

    def record(self, *_: object) -> None:
        self._interrupt_in("record")

    async def evaluate(self, tasks: Sequence[Task], team: Team, folder: Path) -> dict[str, float]:
        if folder.name.startswith(("step-000000", "step-000002")):
            self._interrupt_in(f"evaluation {int(folder.name.split('-')[1])}")
        await team.solve(tasks[0])
        self.measured.append(folder.name)
        return {"item_f1": 0.5}


@pytest.mark.parametrize("phase", ["rollout", "record", "evaluation 0", "evaluation 2"])
def test_an_interrupted_training_goes_on_to_the_same_curve_and_measures_everything_once(
    phase: str, start: Path, tmp_path: Path
) -> None:
    evaluation = {"every": 2, "tasks": [str(start / "tasks.jsonl")], "sampled": False}
    config = marl(start, tmp_path, steps=3, eval=evaluation)
    hooks = Phases(phase)
    hooked: dict[str, Any] = {"evaluate": hooks.evaluate, "record": hooks.record, "rewarding": hooks.reward}
    with pytest.raises(BudgetEnded, match="which is saved; go on with the same command and --resume"):
        run_marl(config, quiet=True, **hooked)
    assert not (tmp_path / "model").exists()
    run_marl(config, quiet=True, resume=True, **hooked)
    assert hooks.measured == ["step-000000-greedy", "step-000002-greedy", "step-000003-greedy"]
    assert [(line["step"], "reward" in line) for line in lines(tmp_path)] == [
        (0, False), (1, True), (2, True), (2, False), (3, True), (3, False),
    ]  # fmt: skip


def test_what_changed_is_said_on_resume(start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_marl(marl(start, tmp_path, steps=1), quiet=False, resume=True, rewarding=even)
    assert "holds no checkpoint: training from the start" in capsys.readouterr().err
    run_marl(marl(start, tmp_path, steps=2, loss={"kl": 0.5}), quiet=False, resume=True, rewarding=even)
    assert "changed since step-000001: steps 1 -> 2, loss.kl 0.0 -> 0.5" in capsys.readouterr().err


def test_a_start_after_a_kill_without_a_checkpoint_begins_anew(start: Path, tmp_path: Path) -> None:
    hooks = Phases("")
    evaluation = {"every": 2, "tasks": [str(start / "tasks.jsonl")], "sampled": False}

    def dies(*_: object) -> Reward:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_marl(marl(start, tmp_path, eval=evaluation), quiet=True, evaluate=hooks.evaluate, rewarding=dies)
    assert [line["step"] for line in lines(tmp_path)] == [0]
    run_marl(marl(start, tmp_path, eval=evaluation), quiet=True, evaluate=hooks.evaluate, rewarding=even)
    assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2, 2]


# ---------------------------------------------------------------------------------------------------- what is refused


def test_a_full_disk_leaves_the_last_good_checkpoint(start: Path, tmp_path: Path) -> None:
    run_marl(marl(start, tmp_path, steps=1), quiet=True, rewarding=even)
    config = marl(start, tmp_path, steps=3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))  # no file may grow beyond that
    try:
        with pytest.raises(
            RunDirError, match=r"step-000003: cannot be written .* run it again \(a training: with --resume\)"
        ):
            run_marl(config, quiet=True, resume=True, rewarding=even)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]
    run_marl(config, quiet=True, resume=True, rewarding=even)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]


def test_what_a_group_raises_ends_the_training_and_what_was_learnt_is_saved(start: Path, tmp_path: Path) -> None:
    calls = 0

    def refused(rollout: Rollout, score: Score) -> Reward:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise BadInput("refused")
        return even(rollout, score)

    with pytest.raises(BadInput, match="refused"):
        run_marl(marl(start, tmp_path), quiet=True, rewarding=refused)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000001"]


def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(start: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_marl(marl(start, out, steps=1), quiet=True, rewarding=even)

    def refused(said: str, resume: bool = True, **keys: Any) -> None:
        with pytest.raises(BadInput, match=said) as caught:
            run_marl(marl(start, out, steps=2, **keys), quiet=True, resume=resume, rewarding=even)
        assert "\n" not in str(caught.value)

    refused("holds a training .* go on with --resume", resume=False)
    other = tiny_model(tmp_path / "other", hidden_size=48)
    refused("is of another model than .*hidden_size 32, not 48", model=str(other))
    refused("its adapters are others", lora={"rank": 2})
    changed = Path(shutil.copytree(start / "model", tmp_path / "changed"))
    doubled = {name: 2 * tensor for name, tensor in load_file(changed / "model.safetensors").items()}
    save_file(doubled, changed / "model.safetensors", metadata={"format": "pt"})
    refused("began with other weights of .*, which changed since", model=str(changed))
    with locked(out):
        refused("another run is using it", resume=False)
    state = checkpoints(out)[0] / "state.pt"
    saved = torch.load(state, weights_only=True)
    torch.save({**saved, "format": 99}, state)
    refused(r"is of another version of wideseek \(format 99")
    torch.save({"format": 1, "step": 1, "optimizers": []}, state)
    refused("its state does not fit the configuration")
    state.write_bytes(b"torn")
    refused("cannot be read .* remove it to go on from the one before")
