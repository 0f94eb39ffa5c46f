"""Prefix trees: what samples have in common is computed once, and every target keeps what is its own.

    samples of a step, sorted  ->  passes of about so many tokens  ->  Forest: one row of T tokens

    [ system, question | first turn A | reply ... | first turn B | reply ... ]      a node each
      targets at the end of a node: what begins A and what begins B, each with its own log-probability and weight

Rollouts of a group begin alike: the system prompt, the question, often whole turns, sometimes all of it. A node is a
run of tokens; attention lets it see its ancestors and itself (`attention`). The last token of a sample is predicted
only, so it is in no node. The forward pass is shared, never the targets: one place may predict several tokens, or the
same token for several rollouts whose advantages differ in sign, and clipping looks at each. A run is shared only where
that saves `WORTH` tokens: below, one more node costs more than it saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wideseek.train.batch import PolicySample
from wideseek.train.loss import Targets

WORTH = 32  # tokens


@dataclass(frozen=True)
class Forest:
    """Samples in one row of T tokens, as N targets at P places.

    `nodes` are the lengths of the runs in order, `paths` the ancestors of each, itself last. `places` [P] are where
    something is predicted, `of` [N] the place (0 to P - 1) of each target, `labels` [N] what is predicted there.
    """

    ids: Tensor  # [1, T]
    positions: Tensor  # [1, T]
    nodes: list[int]
    paths: list[list[int]]
    places: Tensor  # [P]
    of: Tensor  # [N]
    labels: Tensor  # [N]
    targets: Targets

    def __len__(self) -> int:
        return self.ids.shape[1]

    def to(self, device: torch.device) -> Forest:
        tensors = (self.ids, self.positions, self.places, self.of, self.labels)
        ids, positions, places, of, labels = (tensor.to(device) for tensor in tensors)
        targets = Targets(*(t.to(device) for t in (self.targets.logprobs, self.targets.weights, self.targets.scales)))
        return Forest(ids, positions, self.nodes, self.paths, places, of, labels, targets)


def forest(samples: Sequence[PolicySample], *, share: bool = True, dtype: torch.dtype = torch.float32) -> Forest:
    """The samples in one row; without `share` one after the other, whole."""
    tree = _Tree(samples)
    if share:
        tree.grow()
    else:
        for number in range(len(samples)):
            tree.end(number, tree.node(number, 0, len(tree.inputs[number]), None))
    return tree.row(dtype)


def passes(samples: Sequence[PolicySample], tokens: int, *, share: bool = True) -> Iterator[list[PolicySample]]:
    """The samples in lists of about `tokens` tokens to compute, those with long common prefixes side by side."""
    portion: list[PolicySample] = []
    size = 0
    for sample in _sorted(samples):
        new = len(sample) - (_common(portion[-1].ids, sample.ids) if share and portion else 0)
        if portion and size + new > tokens:
            yield portion
            portion, size, new = [], 0, len(sample)
        portion.append(sample)
        size += new
    if portion:
        yield portion


def _sorted(samples: Sequence[PolicySample]) -> list[PolicySample]:
    """By their tokens: what begins alike stands together."""
    return sorted(samples, key=lambda sample: sample.ids.astype(">u4").tobytes())


def _common(one: NDArray[np.int32], other: NDArray[np.int32]) -> int:
    """How many tokens both begin with."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


@dataclass
class _Tree:
    """A forest while it grows. A node is the tokens `start` to `end` of one of its samples."""

    samples: Sequence[PolicySample]
    inputs: list[NDArray[np.int32]] = field(init=False)  # of each sample, what is computed
    runs: list[tuple[int, int, int]] = field(default_factory=list)  # sample, start, end
    paths: list[list[int]] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)  # sample -> its last node

    def __post_init__(self) -> None:
        self.inputs = [sample.ids[:-1] for sample in self.samples]

    def node(self, sample: int, start: int, end: int, parent: int | None) -> int:
        number = len(self.runs)
        self.runs.append((sample, start, end))
        self.paths.append([*(self.paths[parent] if parent is not None else []), number])
        return number

    def end(self, sample: int, node: int) -> None:
        self.ends[sample] = node

    def grow(self) -> None:
        """Depth first, over runs of the sorted samples that have a common prefix."""
        samples = sorted(range(len(self.samples)), key=lambda n: self.inputs[n].astype(">u4").tobytes())
        waiting: list[tuple[list[int], int, int | None]] = [(samples, 0, None)]
        while waiting:
            members, start, parent = waiting.pop()
            waiting += reversed(self._branch(members, start, parent))

    def _branch(self, members: list[int], start: int, parent: int | None) -> list[tuple[list[int], int, int | None]]:
        """Share what the sorted `members` have in common from `start` on, if it is worth it; what is left to do."""
        common = _common(self.inputs[members[0]], self.inputs[members[-1]])
        ending = [n for n in members if len(self.inputs[n]) == common]
        others = members[len(ending) :]
        parts = _parted(others, [int(self.inputs[n][common]) for n in others])
        copies = bool(ending) + len(parts)
        if common > start and (copies == 1 or (common - start) * (copies - 1) >= WORTH):
            parent, start = self.node(members[0], start, common, parent), common
        if ending:
            node = parent if start == common and parent is not None else self.node(ending[0], start, common, parent)
            for number in ending:
                self.end(number, node)
        return [(part, start, parent) for part in parts]

    def row(self, dtype: torch.dtype) -> Forest:
        starts = np.cumsum([0, *(end - start for _, start, end in self.runs)])
        ids = np.concatenate([self.inputs[n][start:end] for n, start, end in self.runs])
        positions = np.concatenate([np.arange(start, end) for _, start, end in self.runs])
        before = [self._row_of(n, starts)[sample.places - 1] for n, sample in enumerate(self.samples)]
        places, of = np.unique(np.concatenate(before), return_inverse=True)
        counts = [len(sample.places) for sample in self.samples]
        return Forest(
            torch.from_numpy(ids.astype(np.int64))[None],
            torch.from_numpy(positions)[None],
            [end - start for _, start, end in self.runs],
            self.paths,
            torch.from_numpy(places),
            torch.from_numpy(of),
            torch.from_numpy(np.concatenate([s.ids[s.places] for s in self.samples]).astype(np.int64)),
            Targets(
                torch.from_numpy(np.concatenate([s.logprobs for s in self.samples])).to(dtype),
                torch.tensor(np.repeat([s.weight for s in self.samples], counts), dtype=dtype),
                torch.tensor(np.repeat([s.scale for s in self.samples], counts), dtype=dtype),
            ),
        )

    def _row_of(self, sample: int, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """[T]: where in the row each input token of a sample stands."""
        path = self.paths[self.ends[sample]]
        return np.concatenate([np.arange(starts[node], starts[node + 1]) for node in path])


def _parted(members: list[int], tokens: list[int]) -> list[list[int]]:
    """Sorted members in runs of equal tokens."""
    parts: list[list[int]] = []
    for at, number in enumerate(members):
        if at and tokens[at] == tokens[at - 1]:
            parts[-1].append(number)
        else:
            parts.append([number])
    return parts
