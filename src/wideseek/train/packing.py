"""Packing: samples of any length side by side in one row, so that no step computes padding.

    samples  ->  steps of about `tokens` tokens, in random order  ->  Pack: one row, segments, targets

Every sample is seen once per epoch. A step's samples are those that come next, so a step's size varies by less than one
sample; nothing is cut, and nothing is sorted by length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wideseek.roles import SUB
from wideseek.train.samples import Sample


@dataclass(frozen=True)
class Pack:
    """Samples in one row of T tokens.

    `targets` are the places [N] whose *next* token is trained, `labels` [N] those tokens, `turns` [N] a number from 0
    for each turn in the pack that has any. `segments` are the samples' lengths.
    """

    ids: torch.Tensor  # [1, T]
    positions: torch.Tensor  # [1, T]
    segments: list[int]
    targets: torch.Tensor  # [N]
    labels: torch.Tensor  # [N]
    turns: torch.Tensor  # [N]

    def to(self, device: torch.device) -> Pack:
        return Pack(
            self.ids.to(device),
            self.positions.to(device),
            self.segments,
            self.targets.to(device),
            self.labels.to(device),
            self.turns.to(device),
        )


def pack(samples: Sequence[Sample]) -> Pack:
    """The samples in one row. The first token of a sample is never a target: nothing stands before it."""
    segments = [len(sample) for sample in samples]
    ids = np.concatenate([sample.ids for sample in samples]).astype(np.int64)
    labels = np.flatnonzero(np.concatenate([sample.targeted for sample in samples]))
    sample_of = np.repeat(np.arange(len(samples)), segments)
    turn_of = np.concatenate([sample.turns for sample in samples]).astype(np.int64)
    turns = (sample_of * (1 + turn_of.max(initial=0)) + turn_of)[labels]
    return Pack(
        torch.from_numpy(ids)[None],
        torch.from_numpy(np.concatenate([np.arange(length) for length in segments]))[None],
        segments,
        torch.from_numpy(labels - 1),
        torch.from_numpy(ids[labels]),
        torch.from_numpy(np.unique(turns, return_inverse=True)[1]),
    )


def portions(samples: Iterable[Sample], tokens: int) -> Iterator[list[Sample]]:
    """The samples in order, in lists of about `tokens` tokens: each ends with the sample that reaches them."""
    portion: list[Sample] = []
    size = 0
    for sample in samples:
        portion.append(sample)
        size += len(sample)
        if size >= tokens:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def steps(samples: Sequence[Sample], tokens: int, seed: int, subagents: int | None = None) -> Iterator[list[Sample]]:
    """Lists of samples with about `tokens` tokens together, epoch after epoch without end, each in another order.

    With `subagents`, an epoch has at most so many subagents of each rollout, drawn anew every time: a rollout has one
    lead and many subagents, whose work is much alike. Equal arguments give equal steps.
    """
    return portions(_epochs(samples, seed, subagents), tokens)


def _epochs(samples: Sequence[Sample], seed: int, subagents: int | None) -> Iterator[Sample]:
    """The samples in random order, over and over."""
    epoch = 0
    while samples:
        rng = np.random.default_rng((seed, epoch))
        drawn: Counter[int] = Counter()
        for at in rng.permutation(len(samples)):
            sample = samples[at]
            if subagents is not None and sample.role == SUB.name:
                drawn[sample.rollout] += 1
                if drawn[sample.rollout] > subagents:
                    continue
            yield sample
        epoch += 1
