"""The clipped surrogate, token by token; gradients in float64; TRL's GRPO as an oracle."""

from __future__ import annotations

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marl import config, sample, tiny_model
from wideseek.train.loss import Targets, surrogate
from wideseek.train.policy_learner import PolicyLearner, PolicyUpdate
from wideseek.train.settings import LossConfig


def targets(old: list[float], weights: list[float], reference: list[float] | None = None) -> Targets:
    def tensor(numbers: list[float]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.float64)

    return Targets(
        tensor(old), tensor(weights), tensor([abs(w) for w in weights]), tensor(reference) if reference else None
    )


def loss_and_gradient(new: list[float], made: Targets, loss: LossConfig) -> tuple[float, list[float]]:
    logprobs = torch.tensor(new, dtype=torch.float64, requires_grad=True)
    objective = surrogate(logprobs, made, loss)
    objective.loss.backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    return float(objective.loss.detach()), logprobs.grad.tolist()


def by_hand(new: float, old: float, weight: float, low: float, high: float, dual: float | None) -> float:
    """One token's loss as the published code writes it: two maxima and a minimum."""
    ratio = math.exp(new - old)
    loss = max(-weight * ratio, -weight * min(max(ratio, 1 - low), 1 + high))
    return min(loss, math.copysign(1, weight) * dual * weight) if dual is not None and weight < 0 else loss


@given(
    st.floats(-4, 0), st.floats(-4, 0), st.floats(-2, 2).filter(lambda w: abs(w) > 1e-3),
    st.sampled_from([None, 1.5, 10.0]),
)  # fmt: skip
def test_a_token_costs_what_the_formula_says(new: float, old: float, weight: float, dual: float | None) -> None:
    value, _ = loss_and_gradient([new], targets([old], [weight]), LossConfig(dual_clip=dual))
    assert value == pytest.approx(by_hand(new, old, weight, 0.2, 0.28, dual), rel=1e-12)


@pytest.mark.parametrize(
    ("log_ratio", "weight", "gradient"),
    [
        (0.0, 1.0, -1.0),  # on policy: the weight itself
        (0.1, 1.0, -math.exp(0.1)),  # off policy: times the ratio
        (0.5, 1.0, 0.0),  # good and likelier than 1 + clip_high: clipped
        (-0.5, 1.0, -math.exp(-0.5)),  # good and less likely: pulled back, however far
        (-0.5, -1.0, 0.0),  # bad and less likely than 1 - clip_low: clipped
        (0.5, -1.0, math.exp(0.5)),  # bad and likelier: pushed down
        (math.log(11), -1.0, 0.0),  # bad and beyond the dual clip
    ],
)
def test_which_tokens_have_a_gradient(log_ratio: float, weight: float, gradient: float) -> None:
    _, (found,) = loss_and_gradient([-1.0 + log_ratio], targets([-1.0], [weight]), LossConfig())
    assert found == pytest.approx(gradient, abs=1e-12)


def test_a_capped_ratio_keeps_its_direction_at_the_size_of_the_cap() -> None:
    value, (gradient,) = loss_and_gradient([-1.0], targets([-3.0], [-1.0]), LossConfig(ratio_cap=2.0, dual_clip=None))
    assert (value, gradient) == (pytest.approx(2.0), pytest.approx(2.0))


def test_the_kl_penalty_is_zero_at_the_reference_and_pulls_towards_it() -> None:
    penalised = LossConfig(kl=0.5)
    at, (pull,) = loss_and_gradient([-1.0], targets([-1.0], [1e-12], [-1.0]), penalised)
    assert (at, pull) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))
    made = targets([-1.0], [1.0], [-2.0])
    value, (gradient,) = loss_and_gradient([-1.0], made, penalised)
    assert value == pytest.approx(-1 + 0.5 * (math.exp(-1) + 1 - 1))
    assert gradient == pytest.approx(-1 + 0.5 * (1 - math.exp(-1)))


def test_the_counts_for_the_log_are_sums_over_tokens() -> None:
    found = surrogate(torch.tensor([-1.0, -0.5, -1.5]), targets([-1.0] * 3, [1.0, 1.0, -1.0]), LossConfig())
    assert found.clipped == 2
    assert found.ratio == pytest.approx(1 + math.exp(0.5) + math.exp(-0.5))
    assert found.largest == pytest.approx(math.exp(0.5))
    assert found.kl > 0


# ------------------------------------------------------------------------------------------------------ TRL as oracle


def trl_loss(model: Any, rows: list[dict[str, Any]], advantages: list[float], loss: LossConfig) -> torch.Tensor:
    """`GRPOTrainer._compute_loss` of TRL on one-turn rollouts, with loss_type="grpo": the mean over rollouts of the mean
    over tokens, which is our weight with one agent. Only what it reads of its trainer is there."""
    from trl.trainer import grpo_trainer as grpo

    prompts, said = [row["ids"][: row["prompt"]] for row in rows], [row["ids"][row["prompt"] :] for row in rows]

    def padded(lists: list[list[Any]], left: bool, fill: float = 0) -> torch.Tensor:
        most = max(map(len, lists))
        return torch.tensor([[fill] * (most - len(x)) + x if left else x + [fill] * (most - len(x)) for x in lists])

    inputs = {
        "prompt_ids": padded(prompts, True),
        "prompt_mask": padded([[1] * len(p) for p in prompts], True),
        "completion_ids": padded(said, False),
        "completion_mask": padded([[1] * len(s) for s in said], False),
        "advantages": torch.tensor(advantages, dtype=torch.float64),
        "old_per_token_logps": padded([row["old"] for row in rows], False).double(),
        "num_items_in_batch": torch.tensor(1),
    }
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    width = inputs["completion_ids"].shape[1]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -width - 1 : -1].double()
    logprobs = logits.log_softmax(-1).gather(-1, inputs["completion_ids"][..., None])[..., 0]
    trainer = SimpleNamespace(
        model=model, aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, beta=0.0,
        importance_sampling_level="token", epsilon_low=loss.clip_low, epsilon_high=loss.clip_high, loss_type="grpo",
        args=SimpleNamespace(delta=loss.dual_clip, use_bias_correction_kl=False), use_vllm=False,
        current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False, use_adaptive_entropy=False,
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        accelerator=SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x),
        _get_per_token_logps_and_entropies=lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None),
    )  # fmt: skip
    found: torch.Tensor = grpo.GRPOTrainer._compute_loss(trainer, model, inputs)
    return found


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_one_agent_and_one_turn_is_the_grpo_of_trl(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss = LossConfig(dual_clip=3.0)
    ours, theirs = tiny_model(packed=True), tiny_model(packed=False)
    advantages = rng.normal(size=5).tolist()
    samples, rows = [], []
    for advantage in advantages:
        prompt, said = int(rng.integers(2, 9)), int(rng.integers(1, 8))
        ids = rng.integers(0, 50, prompt + said).tolist()
        old = (rng.normal(-4, 0.7, said)).astype(np.float32).tolist()
        samples.append(sample(ids, range(prompt, prompt + said), old, advantage / 5 / said, role="single"))
        rows.append({"ids": ids, "prompt": prompt, "old": old})
    wanted = trl_loss(theirs, rows, advantages, loss)
    wanted.backward()  # type: ignore[no-untyped-call]
    learner = PolicyLearner(ours, config(loss=loss.model_dump()))
    update = PolicyUpdate()
    learner.accumulate(samples, update)
    assert update.loss == pytest.approx(float(wanted.detach()), rel=1e-5)  # the library's norms are float32
    assert update.clipped > 0, "the inputs have to reach the clip"
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None, name
        assert other.grad is not None, name
        assert float((mine.grad - other.grad).norm() / other.grad.norm()) < 1e-5, name


# ------------------------------------------------------------------------------------------------- far and near ratios


@pytest.mark.parametrize("ratio_cap", [None, 2.0])
@pytest.mark.parametrize("weight", [1.0, -1.0])
@pytest.mark.parametrize("old", [-200.0, -89.0])
def test_a_token_that_the_sampler_thought_impossible_leaves_the_gradient_of_all_finite(
    old: float, weight: float, ratio_cap: float | None
) -> None:
    logprobs = torch.tensor([0.0, -1.0], requires_grad=True)  # in fp32, where exp(89) overflows
    made = Targets(torch.tensor([old, -1.0]), torch.tensor([weight, 0.5]), torch.tensor([1.0, 0.5]))
    objective = surrogate(logprobs, made, LossConfig(ratio_cap=ratio_cap))
    objective.loss.backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    assert torch.isfinite(objective.loss)
    assert torch.isfinite(logprobs.grad).all()
    assert logprobs.grad[1] == -0.5, "the other token's is what it is alone"


def test_the_estimate_of_kl_is_right_for_ratios_that_differ_in_the_last_digits_only() -> None:
    near = torch.full((100_000,), 1e-4)
    made = Targets(torch.zeros_like(near) - 1, torch.zeros_like(near), torch.zeros_like(near))
    found = surrogate(near - 1, made, LossConfig()).kl
    assert found == pytest.approx(100_000 * 1e-8 / 2, rel=0.01)  # in fp32, x² / 2 of each
