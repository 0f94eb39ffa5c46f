"""The loss: GRPO's clipped surrogate, summed over tokens that each carry their own weight.

    J = E[ 1/G Σ_i 1/N_i Σ_a 1/(Σ_t |o_iat|) Σ_t Σ_j  min( r Â_i, clip(r, 1 - ε_low, 1 + ε_high) Â_i ) ]
                                                                        arXiv 2602.04634, the multi-agent objective
    w    = Â_i / (rollouts · agents_i · tokens_ia)                      all before the sum, once per token (`batch`)
    r    = π_θ / μ                                                      μ: the sampler's probability, at its temperature
    loss = Σ  -min( r w, clip(r, 1 - ε_low, 1 + ε_high) w )             a plain sum: it can be split in any way
    and for w < 0 at most  -c w                                         the dual clip, arXiv 1912.09729
    plus  β s (π_ref / π_θ - log(π_ref / π_θ) - 1)                      k3 estimate of KL(π_θ, π_ref), s = |w / Â_i|

log r counts as at most `FURTHEST` either way: beyond it exp overflows, and one token would spoil the gradient of all.
With `ratio_cap` a ratio above it counts as the cap: its gradient shrinks with it and does not vanish, as it does where
clipped (truncated importance sampling). Because r is relative to what sampled the token, and not to an average of
several weights, a step of staleness is corrected for token by token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from wideseek.train.settings import LossConfig

FURTHEST = 20.0  # natural-log units between the sampler's probability and the learner's, as in the released code


@dataclass(frozen=True)
class Targets:
    """N trained tokens: the sampler's log-probabilities, the weights (with the sign of the advantage), and these
    without the advantage. `reference` are log-probabilities under the reference, where there is one."""

    logprobs: Tensor  # [N]
    weights: Tensor  # [N]
    scales: Tensor  # [N]
    reference: Tensor | None = None  # [N]


@dataclass(frozen=True)
class Objective:
    """A loss, and sums over its N tokens for the log: of ratios, of what was clipped, of estimates of KL.

    `kl` is the k3 estimate of KL(μ, π_θ): how far the weights have moved from those that sampled.
    """

    loss: Tensor
    ratio: float
    clipped: float
    kl: float
    largest: float
    reference_kl: float = 0.0


def surrogate(logprobs: Tensor, targets: Targets, config: LossConfig) -> Objective:
    """The loss of N tokens with log-probabilities `logprobs` [N] under the weights that are trained."""
    log_ratio = logprobs - targets.logprobs
    # Infinity is no rounding but a broken log-probability: the loss says so, and the update is skipped.
    log_ratio = torch.where(log_ratio.isinf(), log_ratio, log_ratio.clamp(-FURTHEST, FURTHEST))
    ratio = log_ratio.exp()
    if config.ratio_cap is not None:
        ratio = ratio * (config.ratio_cap / ratio.detach()).clamp(max=1.0)
    plain = -targets.weights * ratio
    clipped = -targets.weights * ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    loss = torch.maximum(plain, clipped)
    if config.dual_clip is not None:
        loss = torch.where(targets.weights < 0, torch.minimum(loss, -config.dual_clip * targets.weights), loss)
    total = loss.sum()
    reference_kl = 0.0
    if targets.reference is not None:
        kl = _k3(targets.reference - logprobs)
        total = total + config.kl * (targets.scales * kl).sum()
        reference_kl = float(kl.detach().sum())
    with torch.no_grad():
        return Objective(
            total,
            ratio=float(ratio.sum()),
            clipped=float((loss > plain).sum() + (loss < plain).sum()),
            kl=float(_k3(log_ratio).sum()),
            largest=float(ratio.max()) if len(ratio) else 0.0,
            reference_kl=reference_kl,
        )


def _k3(log_ratio: Tensor) -> Tensor:
    """exp(x) - x - 1, never negative, also for tiny x, where exp(x) would round to 1.

    Its mean over samples of p, with x = log(q / p), is KL(p, q). Schulman, 2020.
    """
    return torch.expm1(log_ratio) - log_ratio
