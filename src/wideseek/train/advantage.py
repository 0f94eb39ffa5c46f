"""Advantages: how much better a rollout did than the others of its group. The same for all its agents and tokens.

    grpo            Â_i = (R_i - mean R) / (std R + 1e-6), std by G - 1     arXiv 2402.03300, eq. 4; the paper's
    no_std          Â_i = R_i - mean R                                      arXiv 2503.20783 (Dr. GRPO)
    leave_one_out   Â_i = R_i - mean of the others                          arXiv 2402.14740 (RLOO)

Rollouts without a reward (the judge or the infrastructure failed them) are no part of their group: they have no
advantage and do not move the others'. A group whose rewards are equal, or of which one rollout is left, teaches
nothing: its advantages are exactly 0.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Literal

Advantage = Literal["grpo", "no_std", "leave_one_out"]
EPSILON = 1e-6


def group_advantages(rewards: Sequence[float | None], kind: Advantage = "grpo") -> list[float | None]:
    """One advantage per rollout of a group, `None` where there is no reward."""
    scored = [reward for reward in rewards if reward is not None]
    if len(set(scored)) < 2:
        return [None if reward is None else 0.0 for reward in rewards]
    advantages = iter(_KINDS[kind](scored))
    return [None if reward is None else next(advantages) for reward in rewards]


def _grpo(rewards: list[float]) -> list[float]:
    scale = statistics.stdev(rewards) + EPSILON
    return [advantage / scale for advantage in _no_std(rewards)]


def _no_std(rewards: list[float]) -> list[float]:
    mean = statistics.fmean(rewards)
    return [reward - mean for reward in rewards]


def _leave_one_out(rewards: list[float]) -> list[float]:
    """R_i minus the mean of the other G - 1, which is (R_i - mean) G / (G - 1)."""
    count = len(rewards)
    return [advantage * count / (count - 1) for advantage in _no_std(rewards)]


_KINDS: dict[Advantage, Callable[[list[float]], list[float]]] = {
    "grpo": _grpo,
    "no_std": _no_std,
    "leave_one_out": _leave_one_out,
}
