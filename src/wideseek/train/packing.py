"""Packing: samples of any length side by side in one row, so that no step computes padding.

    samples  ->  steps of about `tokens` tokens, in random order  ->  Pack: one row, segments, targets

Every sample is seen once per epoch. A step's samples are those that come next, so a step's size varies by less than one
sample; nothing is cut, and nothing is sorted by length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wideseek.roles import SUB
from wideseek.train.samples import Sample


@dataclass(frozen=True)
class Pack:
    """Samples in one row of T tokens.

    `targets` are the places [N] whose *next* token is trained, `labels` [N] those tokens, `turns` [N] a number for each
    turn in the pack. `segments` are the samples' lengths.
    """

    ids: torch.Tensor  # [1, T]
    positions: torch.Tensor  # [1, T]
    segments: list[int]
    targets: torch.Tensor  # [N]
    labels: torch.Tensor  # [N]
    turns: torch.Tensor  # [N]

    def to(self, device: torch.device) -> Pack:
        moved = (tensor.to(device, non_blocking=True) for tensor in (self.ids, self.positions))
        row = (tensor.to(device, non_blocking=True) for tensor in (self.targets, self.labels, self.turns))
        return Pack(*moved, self.segments, *row)


def pack(samples: Sequence[Sample]) -> Pack:
    """The samples in one row. The first token of a sample is never a target: nothing stands before it."""
    ids = np.concatenate([sample.ids for sample in samples]).astype(np.int64)
    trained = np.concatenate([_targeted(sample) for sample in samples])
    turn = np.concatenate([sample.turns.astype(np.int64) for sample in samples])
    number = np.repeat(np.arange(len(samples)), [len(sample) for sample in samples])
    labels = np.flatnonzero(trained)
    return Pack(
        torch.from_numpy(ids)[None],
        torch.from_numpy(np.concatenate([np.arange(len(sample)) for sample in samples]))[None],
        [len(sample) for sample in samples],
        torch.from_numpy(labels - 1),
        torch.from_numpy(ids[labels]),
        torch.from_numpy(np.unique(number[labels] * 1000 + turn[labels], return_inverse=True)[1].astype(np.int64)),
    )


def _targeted(sample: Sample) -> np.ndarray:
    trained = sample.trained.copy()
    trained[0] = False
    return trained


def steps(samples: Sequence[Sample], tokens: int, seed: int, subagents: int | None = None) -> Iterator[list[Sample]]:
    """Lists of samples with about `tokens` tokens together, epoch after epoch without end, each in another order.

    With `subagents`, an epoch has at most so many subagents of each rollout, drawn anew every time: a rollout has one
    lead and many subagents, whose work is much alike.
    """
    epoch, size = 0, 0
    waiting: list[Sample] = []
    while True:
        rng = np.random.default_rng((seed, epoch))
        for sample in _epoch(samples, rng, subagents):
            waiting.append(sample)
            size += len(sample)
            if size >= tokens:
                yield waiting
                waiting, size = [], 0
        epoch += 1


def _epoch(samples: Sequence[Sample], rng: np.random.Generator, subagents: int | None) -> Iterator[Sample]:
    """The samples of one epoch in random order."""
    chosen: list[int] = []
    drawn: Counter[int] = Counter()
    for at in rng.permutation(len(samples)):
        sample = samples[at]
        if subagents is not None and sample.role == SUB.name:
            drawn[sample.rollout] += 1
            if drawn[sample.rollout] > subagents:
                continue
        chosen.append(at)
    yield from (samples[at] for at in chosen)
