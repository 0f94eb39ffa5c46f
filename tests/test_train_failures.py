"""Nothing is lost where a step fails: what was learnt is saved first, memory that ran out is tried once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.marl import even, lines, marl, start_folder, weights
from tests.training import training
from wideseek.errors import BadInput
from wideseek.train.checkpoint import checkpoints
from wideseek.train.log import progress_bar
from wideseek.train.loop import Training
from wideseek.train.settings import SftConfig, load_settings
from wideseek.train.sft import _Training as Supervised

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has ...")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("marl"))


def run(trained: Training) -> Path:
    with progress_bar("marl", trained.config.steps, 0, False) as bar:
        return asyncio.run(trained.run(bar))


def failing(trained: Training, fails: Callable[[int], bool], error: Exception = FULL, third: bool = False) -> list[int]:
    """Have the learner's forward pass fail where `fails(tokens)`, or the third one, from the second step on; returns
    the tokens of each pass."""
    seen: list[int] = []

    def before(_: Any, inputs: tuple[Any, ...]) -> None:
        tokens = inputs[0].numel()
        if trained.step >= 1:
            seen.append(tokens)
            if fails(tokens) or (third and len(seen) == 3):
                raise error

    trained.learner.model.get_input_embeddings().register_forward_pre_hook(before)
    return seen


def test_where_memory_runs_out_the_step_is_saved_and_tried_again_in_passes_of_half_the_size(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = Training(marl(start, tmp_path, steps=3, tokens_per_pass=4000), None, rewarding=even)
    seen = failing(trained, lambda tokens: len(seen) == 1)
    run(trained)
    assert trained.learner.pass_tokens == 2000
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    assert (tmp_path / "checkpoints" / "step-000001" / "state.pt").exists(), "saved before it was tried again"
    assert "step 2: memory ran out: once more with tokens_per_pass = 2,000" in capsys.readouterr().err


def test_what_was_tried_again_learns_from_each_sample_once(start: Path, tmp_path: Path) -> None:
    """Gradients of the passes before the one that failed are dropped."""
    norms = []
    for name in ("smooth", "rough"):
        (tmp_path / name).mkdir()
        trained = Training(marl(start, tmp_path / name, steps=2, tokens_per_pass=32), None, rewarding=even)
        seen = failing(trained, lambda _: False, third=name == "rough")
        run(trained)
        assert len(seen) > 3, "the step has several passes, of which the third fails"
        norms.append([line["gradient_norm"] for line in lines(tmp_path / name)])
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "step 2: the learner failed (OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB.); step 1 is saved: lower tokens_per_pass, set gradient_checkpointing = true, or lower team.local.kv_tokens"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "lower tokens_per_pass"),
        (RuntimeError("a kernel broke"), "step 2: the learner failed (RuntimeError: a kernel broke); step 1 is saved: mend that"),
    ],
)  # fmt: skip
def test_an_error_of_the_learner_loses_no_step_and_is_one_line(
    error: Exception, said: str, start: Path, tmp_path: Path
) -> None:
    trained = Training(marl(start, tmp_path, steps=4, save_every=10), None, rewarding=even)
    failing(trained, lambda _: True, error)
    with pytest.raises(BadInput) as caught:
        run(trained)
    assert said in str(caught.value)
    assert "go on with --resume" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000001"]
    saved, kept = weights(checkpoints(tmp_path)[-1]), trained.learner.weights()
    assert all(torch.equal(saved[name], kept[name]) for name in saved)


def test_an_error_while_the_engine_takes_the_weights_saves_them(start: Path, tmp_path: Path) -> None:
    """The engine is the trained policy's; its worker's first allocation for the new weights fails."""
    trained = Training(marl(start, tmp_path, steps=4, save_every=10), None, rewarding=even)
    plain = trained.learner.weights

    class Unreadable(dict[str, torch.Tensor]):
        def __contains__(self, key: object) -> bool:
            raise FULL

    trained.learner.weights = lambda: Unreadable(plain())  # type: ignore[method-assign]

    def save(folder: Any) -> None:
        trained.learner.model.save_pretrained(folder)

    trained.learner.save = save  # type: ignore[method-assign]
    with pytest.raises(
        BadInput,
        match=r"step 1, which is saved: the new weights could not be given to the engine \(Out.*lower team.local.kv_tokens or tokens_per_pass",
    ):
        run(trained)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000001"]


def test_rollouts_that_cannot_be_recorded_do_not_cost_the_step(start: Path, tmp_path: Path) -> None:
    def record(*_: object) -> None:
        raise ValueError("no room for that\nmore")

    trained = Training(marl(start, tmp_path, steps=4, save_every=10), None, record=record, rewarding=even)
    with pytest.raises(
        BadInput, match=r"step 1, which is saved: its rollouts could not be recorded \(ValueError: no room for that\)"
    ):
        run(trained)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000001"]


def test_an_update_that_fails_midway_saves_no_half_weights(start: Path, tmp_path: Path) -> None:
    trained = Training(marl(start, tmp_path, steps=4, save_every=1), None, rewarding=even)
    (adamw,) = trained.learner.optimizers._parts

    def broken(*_: object) -> None:
        if trained.step == 1:
            raise FULL

    adamw.register_step_post_hook(broken)
    with pytest.raises(BadInput, match="failed midway .* go on from the last checkpoint with --resume"):
        run(trained)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000001"]


@pytest.mark.parametrize("times", [1, 100])
def test_a_supervised_training_saves_and_tries_again_too(times: int, tmp_path: Path) -> None:
    config = load_settings(training(tmp_path, tokens_per_pass=2000, save_every=100), {})
    assert isinstance(config, SftConfig)
    config.out.mkdir()
    trained = Supervised(config, None, False, True)
    left = times

    def before(*_: object) -> None:
        nonlocal left
        if trained.step == 1 and left:
            left -= 1
            raise FULL

    trained.learner.model.get_input_embeddings().register_forward_pre_hook(before)  # type: ignore[operator]
    if times == 1:
        trained.run()
        assert (trained.step, trained.learner.pass_tokens) == (6, 1000)
    else:
        with pytest.raises(BadInput, match="step 1 is saved: lower tokens_per_pass or data.longest, then go on with"):
            trained.run()
    assert checkpoints(config.out)[0].name == "step-000001"


def test_a_skipped_update_reloads_nothing(start: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def broken(rollout: Any, score: Any) -> Any:
        for agent in rollout.trajectories:
            for turn in agent.turns:
                seen.append(turn.completion.version)
                turn.completion.logprobs = [float("nan")] * len(turn.completion.completion_ids or [])
        return even(rollout, score)

    trained = Training(marl(start, tmp_path, steps=2, stop_after=3), None, rewarding=broken)
    run(trained)
    assert set(seen) == {0}, "no new weights, no new version"
    assert [line["skipped"] for line in lines(tmp_path)] == [1, 1]
    assert [line["staleness"] for line in lines(tmp_path)] == [0, 0]
