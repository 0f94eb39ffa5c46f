"""The next token of each row, and its natural-log probability.

A row's draw is `u = uniform(seed, position)`, a hash and no generator: what else runs cannot change it. The token is
where the cumulative probability passes `u`.

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
    total = weights.sum(-1, keepdim=True)
    tokens = _inverse_cdf(weights, uniform(draws.seeds, draws.positions))  # [R, 1]
    if any(greedy):
        best = logits.argmax(-1, keepdim=True)
        tokens = torch.where(torch.tensor(greedy, device=logits.device)[:, None], best, tokens)
    logprobs = logits.gather(-1, tokens) - total.log()
    return tokens[:, 0].tolist(), logprobs[:, 0].tolist()


def _nucleus(weights: Tensor, top_ps: Sequence[float]) -> Tensor:
    """`weights` with zeros outside the nucleus of each row."""
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    limit = torch.tensor(top_ps, device=weights.device)[:, None] * weights.sum(-1, keepdim=True)
    outside = before >= limit
    outside[:, 0] = False  # the likeliest token always stays
    return torch.zeros_like(weights).scatter_(-1, order, ordered.masked_fill_(outside, 0))


def _inverse_cdf(weights: Tensor, draws: np.ndarray) -> Tensor:
    """Where the cumulative weight passes `draws` [R] of the total. [R, 1]"""
    cumulative = weights.cumsum(-1)
    # A draw is below 1 by at least half a unit in the last place, so the product stays below the total.
    wanted = torch.from_numpy(draws).to(weights.device)[:, None] * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, wanted, right=True)
    return found.clamp_(max=weights.shape[-1] - 1)  # reached by NaN only


def uniform(seeds: Sequence[int], positions: Sequence[int]) -> np.ndarray:
    """One float32 in [0, 1 - 2^-24] per (seed, position): splitmix64 twice."""
    with np.errstate(over="ignore"):
        mixed = _splitmix(np.array([seed & 0xFFFFFFFFFFFFFFFF for seed in seeds], np.uint64))
        mixed = _splitmix(mixed ^ np.array(positions, np.uint64))
    return (mixed >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _splitmix(state: np.ndarray) -> np.ndarray:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed
