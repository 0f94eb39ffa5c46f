"""The next token of each row, and its natural-log probability.

A row's draw is `u = uniform(seed, position)`, a hash and no generator: what else runs cannot change it. The token is
where the cumulative probability passes `u`. Draws have 53 bits and sums are in float64, in two levels (parts of the
vocabulary, then the tokens of one part), so that every token of a large vocabulary is drawn as often as its
log-probability says: with 24 bits and one float32 sum, most tokens of 151,936 could never be drawn.

    temperature 0     the likeliest token; its log-probability is that at temperature 1
    top_p = 1         log softmax(logits / temperature)
    top_p < 1         the same, divided by the probability of the nucleus: the smallest set of likeliest tokens whose
                      probability reaches top_p; what was sampled is what is logged
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PART = 512  # tokens; one part of each row is summed token by token


@dataclass(frozen=True)
class Draws:
    """How each of R rows is sampled. `positions` are those that the sampled tokens will have in their sequences."""

    temperatures: Sequence[float]
    top_ps: Sequence[float]
    seeds: Sequence[int]
    positions: Sequence[int]


def sample(logits: Tensor, draws: Draws) -> tuple[list[int], list[float]]:
    """Tokens and log-probabilities of `logits` [R, V] (overwritten). Rows that are not finite have NaN as logprob."""
    greedy = [temperature == 0 for temperature in draws.temperatures]
    if any(temperature not in (0, 1) for temperature in draws.temperatures):
        heat = torch.tensor([1 / t if t else 1.0 for t in draws.temperatures], device=logits.device)
        logits *= heat[:, None]
    logits -= logits.amax(-1, keepdim=True)
    weights = logits.exp()  # [R, V]: probabilities, not yet divided by their sum
    nucleus = [row for row, p in enumerate(draws.top_ps) if p < 1 and not greedy[row]]
    if nucleus:
        weights[nucleus] = _nucleus(weights[nucleus], [draws.top_ps[row] for row in nucleus])
    sums = part_sums(weights)
    tokens = inverse_cdf(weights, sums, uniform(draws.seeds, draws.positions))  # [R, 1]
    if any(greedy):
        best = logits.argmax(-1, keepdim=True)
        tokens = torch.where(torch.tensor(greedy, device=logits.device)[:, None], best, tokens)
    logprobs = logits.gather(-1, tokens) - sums.sum(-1, keepdim=True).log()
    return tokens[:, 0].tolist(), logprobs[:, 0].tolist()


def _nucleus(weights: Tensor, top_ps: Sequence[float]) -> Tensor:
    """`weights` with zeros outside the nucleus of each row."""
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    limit = torch.tensor(top_ps, device=weights.device)[:, None] * weights.sum(-1, keepdim=True)
    outside = before >= limit
    outside[:, 0] = False  # the likeliest token always stays
    return torch.zeros_like(weights).scatter_(-1, order, ordered.masked_fill_(outside, 0))


def part_sums(weights: Tensor) -> Tensor:
    """The weight of each part of the vocabulary: [R, V] -> [R, V / PART, rounded up] in float64."""
    size = weights.shape[-1]
    whole = size // PART * PART
    sums = weights[:, :whole].reshape(len(weights), -1, PART).sum(-1, dtype=torch.float64)
    return (
        sums if whole == size else torch.cat([sums, weights[:, whole:].sum(-1, keepdim=True, dtype=torch.float64)], -1)
    )


def inverse_cdf(weights: Tensor, sums: Tensor, draws: np.ndarray) -> Tensor:
    """Where the cumulative weight passes `draws` [R] of the total; `sums` are the `part_sums`. [R, 1]"""
    cumulative = sums.cumsum(-1)
    wanted = _below(torch.from_numpy(draws).to(weights.device)[:, None] * cumulative[:, -1:], cumulative)
    part = _passed(cumulative, wanted)  # [R, 1]
    tokens = part * PART + torch.arange(PART, device=weights.device)  # [R, PART]; those beyond the last weigh nothing
    beyond = tokens >= weights.shape[-1]
    inside = weights.gather(-1, tokens.clamp(max=weights.shape[-1] - 1)).double().masked_fill_(beyond, 0).cumsum(-1)
    left = (wanted - (cumulative - sums).gather(-1, part)).clamp_(min=0)
    found = part * PART + _passed(inside, _below(left, inside))
    return found.clamp_(max=weights.shape[-1] - 1)  # for NaN


def _below(wanted: Tensor, cumulative: Tensor) -> Tensor:
    """Rounding may bring a draw up to the total, which no token passes."""
    return torch.minimum(wanted, torch.nextafter(cumulative[:, -1:], wanted.new_zeros(())))


def _passed(cumulative: Tensor, wanted: Tensor) -> Tensor:
    return torch.searchsorted(cumulative, wanted, right=True).clamp_(max=cumulative.shape[-1] - 1)  # for NaN


def uniform(seeds: Sequence[int], positions: Sequence[int]) -> np.ndarray:
    """One float64 in [0, 1 - 2^-53] per (seed, position): splitmix64 twice."""
    with np.errstate(over="ignore"):
        mixed = _splitmix(np.array([seed & 0xFFFFFFFFFFFFFFFF for seed in seeds], np.uint64))
        mixed = _splitmix(mixed ^ np.array(positions, np.uint64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2**-53


def _splitmix(state: np.ndarray) -> np.ndarray:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed
