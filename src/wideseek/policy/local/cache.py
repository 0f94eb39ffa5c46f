"""Keys and values of sequences under a budget of tokens, and which of them share a prefix.

A `Sequence` has one row of one `Slab`, which holds rows of one capacity. Rows whose next token is being sampled come
first in their slab, so attention reads them as one dense batch; capacities are a ladder, so the rows of a slab are of
like length.

    place     a row: a free one, a new slab, or what the least recently used retained sequence gives up
    grow      a row that became too small moves up the ladder
    find      the sequence that shares the longest prefix, by chained hashes of blocks, then token by token
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from wideseek.policy.local.weights import Shape

BLOCK = 16
"""Prefixes are looked up in blocks of so many tokens; a shorter common prefix is not worth a copy."""

_LEAST = 64  # the ladder's first capacity
_FIRST = 8192  # so many tokens the first slab of a capacity has, and 16 rows at most; later ones double what there is
_ROWS = 64  # the most rows of a slab
_LINE = 64  # bytes
_PARTS = 4  # no slab of several rows takes more than this part of the budget


class Slab:
    """Rows of one capacity. L layers, R rows, K heads, D numbers a head, C tokens."""

    def __init__(self, shape: Shape, rows: int, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        size = (shape.layers, 2, rows, shape.kv_heads, capacity, shape.head_dim)
        # Zeros, for attention multiplies what lies beyond a row's end by zero, and zero times NaN is NaN.
        self.kv = _zeros(size, dtype, device)  # [L, 2, R, K, C, D]: keys, then values
        self.flat = list(self.kv.view(shape.layers, -1, shape.head_dim))  # of each layer, [2·R·K·C, D]
        self.keys = list(self.kv[:, 0].flatten(1, 2))  # of each layer, [R·K, C, D]
        self.values = list(self.kv[:, 1].flatten(1, 2))
        self.rows: list[Sequence | None] = [None] * rows
        self.capacity = capacity
        self.decoding = 0
        """So many rows, the first ones, take part in every step."""

    @property
    def tokens(self) -> int:
        return len(self.rows) * self.capacity

    @property
    def free(self) -> int:
        return self.rows.count(None)

    def swap(self, a: int, b: int) -> None:
        if a == b:
            return
        kept = self.kv[:, :, a].clone()
        self.kv[:, :, a] = self.kv[:, :, b]
        self.kv[:, :, b] = kept
        self.rows[a], self.rows[b] = self.rows[b], self.rows[a]
        for row in (a, b):
            sequence = self.rows[row]
            if sequence is not None:
                sequence.row = row


@dataclass(eq=False)
class Sequence:
    """Tokens and where their keys and values lie: those of the first `cached` tokens are there."""

    ids: list[int]
    slab: Slab
    row: int
    cached: int = 0
    running: bool = True
    used: int = 0
    """When it was last used, by the cache's clock."""
    keys: list[int] = field(default_factory=list)
    """Chained hashes of the blocks under which it can be found."""


@dataclass
class Found:
    """`common` tokens of a prefix are computed, in `donor`; `promised` will be, once `promiser` is done."""

    donor: Sequence | None = None
    common: int = 0
    promiser: Sequence | None = None
    promised: int = 0


class Cache:
    """All sequences. `budget` and `tokens` count tokens that slabs may hold and do hold."""

    def __init__(self, shape: Shape, budget: int, dtype: torch.dtype, device: torch.device) -> None:
        self.budget, self.tokens = budget, 0
        self.slabs: list[Slab] = []
        self.evicted = 0
        self._shape, self._dtype, self._device = shape, dtype, device
        self._ladder = _ladder(min(shape.context, budget))
        self._blocks: dict[int, dict[Sequence, None]] = {}
        self._clock = itertools.count(1)

    # ------------------------------------------------------------------------------------------------ shared prefixes

    def find(self, ids: list[int], keys: list[int]) -> Found:
        """What is there of the prefix of `ids`, whose blocks have these `keys`, and what there will be. The last token
        never counts: its logits are wanted."""
        found = Found()
        for sequence in self._candidates(keys):
            common = min(common_prefix(sequence.ids, ids), len(ids) - 1)
            if min(common, sequence.cached) > found.common:
                found.donor, found.common = sequence, min(common, sequence.cached)
            if sequence.running and common > found.promised:
                found.promiser, found.promised = sequence, common
        return found

    def _candidates(self, keys: list[int]) -> list[Sequence]:
        found: dict[Sequence, None] = {}
        for key in keys:
            sharing = self._blocks.get(key)
            if not sharing:
                break
            found = sharing
        return list(found)

    def register(self, sequence: Sequence, keys: list[int]) -> None:
        """Let others find what this sequence's tokens are by now; `keys` are those of all its blocks."""
        for key in keys[len(sequence.keys) :]:
            sequence.keys.append(key)
            self._blocks.setdefault(key, {})[sequence] = None

    # -------------------------------------------------------------------------------------------------------- memory

    def start(
        self, ids: list[int], keys: list[int], tokens: int, donor: Sequence | None, common: int
    ) -> Sequence | None:
        """A running sequence of `ids`, whose blocks have these `keys`, with room for `tokens`, its first `common`
        tokens from `donor`; None where it does not fit now. A retained donor that is all prefix becomes the sequence;
        any other is copied from."""
        if donor is not None and not donor.running and donor.cached == common:
            donor.ids, donor.running = ids, True
            if not self.grow(donor, tokens):
                donor.running, donor.ids = False, ids[:common]
                return None
            self.register(donor, keys)
            return donor
        place = self._place(tokens, keep=donor)
        if place is None:
            return None
        sequence = Sequence(ids, *place)
        sequence.slab.rows[sequence.row] = sequence
        if donor is not None:
            donor.used = next(self._clock)
            _copy(donor, sequence.slab, sequence.row, common)
            sequence.cached = common
        self.register(sequence, keys)
        return sequence

    def grow(self, sequence: Sequence, tokens: int) -> bool:
        """Whether the sequence, running, now has room for `tokens`."""
        if tokens <= sequence.slab.capacity:
            return True
        place = self._place(tokens, keep=sequence)
        if place is None:
            return False
        self._move(sequence, *place)
        return True

    def decode(self, sequence: Sequence) -> None:
        """From now on the sequence takes part in every step."""
        slab = sequence.slab
        slab.swap(sequence.row, slab.decoding)
        slab.decoding += 1

    def retain(self, sequence: Sequence) -> None:
        """The sequence rests; what is computed stays until its memory is needed."""
        self._rest(sequence)
        sequence.running, sequence.used = False, next(self._clock)
        del sequence.ids[sequence.cached :]
        self.register(sequence, extended(sequence.keys, sequence.ids))

    def drop(self, sequence: Sequence) -> None:
        """The sequence is gone, and its slab too where it was the last of it."""
        self._rest(sequence)
        for key in sequence.keys:
            sharing = self._blocks[key]
            del sharing[sequence]
            if not sharing:
                del self._blocks[key]
        sequence.keys = []
        self._leave(sequence.slab, sequence.row)

    def clear(self) -> None:
        """Every sequence is gone."""
        for sequence in [sequence for slab in self.slabs for sequence in slab.rows if sequence is not None]:
            self.drop(sequence)

    def wipe(self, sequence: Sequence) -> None:
        """Drop a sequence that is not finite: the next one in its row must not multiply NaN by zero."""
        sequence.slab.kv[:, :, sequence.row] = 0
        self.drop(sequence)

    def _rest(self, sequence: Sequence) -> None:
        slab = sequence.slab
        if sequence.row < slab.decoding:
            slab.decoding -= 1
            slab.swap(sequence.row, slab.decoding)

    def _leave(self, slab: Slab, row: int) -> None:
        slab.rows[row] = None
        if slab.free == len(slab.rows):
            self.slabs.remove(slab)
            self.tokens -= slab.tokens

    def _move(self, sequence: Sequence, slab: Slab, row: int) -> None:
        decoding = sequence.row < sequence.slab.decoding
        self._rest(sequence)
        left = sequence.slab, sequence.row
        _copy(sequence, slab, row, sequence.cached)
        sequence.slab, sequence.row = slab, row
        slab.rows[row] = sequence
        self._leave(*left)
        if decoding:
            self.decode(sequence)

    def _place(self, tokens: int, keep: Sequence | None) -> tuple[Slab, int] | None:
        """A free row with room for `tokens`; retained sequences but `keep` give way, the longest unused first."""
        capacity = self._ladder[bisect.bisect_left(self._ladder, tokens)]
        while True:
            place = self._free(capacity, capacity) or self._new(capacity) or self._free(capacity, self._ladder[-1])
            if place is not None:
                return place
            if not self._merge() and not self._evict(keep):
                return None

    def _free(self, least: int, most: int) -> tuple[Slab, int] | None:
        fitting = [slab for slab in self.slabs if least <= slab.capacity <= most and slab.free]
        if not fitting:
            return None
        slab = min(fitting, key=lambda slab: (slab.capacity, slab.free))
        return slab, slab.rows.index(None)

    def _new(self, capacity: int) -> tuple[Slab, int] | None:
        alike = sum(len(slab.rows) for slab in self.slabs if slab.capacity == capacity)
        wanted = min(_ROWS, alike or min(16, _FIRST // capacity))
        rows = max(1, min(wanted, self.budget // _PARTS // capacity))
        rows = min(rows, (self.budget - self.tokens) // capacity)
        if rows < 1:
            return None
        slab = Slab(self._shape, rows, capacity, self._dtype, self._device)
        self.slabs.append(slab)
        self.tokens += slab.tokens
        return slab, 0

    def _evict(self, keep: Sequence | None) -> bool:
        retained = [
            sequence
            for slab in self.slabs
            for sequence in slab.rows
            if sequence is not None and not sequence.running and sequence is not keep
        ]
        if not retained:
            return False
        self.drop(min(retained, key=lambda sequence: sequence.used))
        self.evicted += 1
        return True

    def _merge(self) -> bool:
        """Empty the emptiest slab into others of its capacity, if they have the rows. Whether a slab was freed."""
        for slab in sorted(self.slabs, key=lambda slab: slab.free, reverse=True):
            others = [other for other in self.slabs if other.capacity == slab.capacity and other is not slab]
            if slab.free and len(slab.rows) - slab.free <= sum(other.free for other in others):
                for sequence in [sequence for sequence in slab.rows if sequence is not None]:
                    other = next(other for other in others if other.free)
                    self._move(sequence, other, other.rows.index(None))
                return True
        return False


def _zeros(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(size, dtype=dtype, device=device)
    # numpy's zeros take no memory until they are written to; torch's do. Like torch's, they begin on a cache line: some
    # products round otherwise where they do not, and where memory begins differs from run to run.
    kind = np.dtype(np.int16 if dtype == torch.bfloat16 else np.float32)
    plain = np.zeros(math.prod(size) + _LINE // kind.itemsize, kind)
    first = -plain.ctypes.data % _LINE // kind.itemsize
    return torch.from_numpy(plain[first : first + math.prod(size)].reshape(size)).view(dtype)


def _copy(sequence: Sequence, slab: Slab, row: int, tokens: int) -> None:
    slab.kv[:, :, row, :, :tokens] = sequence.slab.kv[:, :, sequence.row, :, :tokens]


def _ladder(most: int) -> list[int]:
    """64, 80, 96, 112, 128, 160, 192 ... and `most` itself."""
    steps = (_LEAST * 2**power * quarters // 4 for power in itertools.count() for quarters in (4, 5, 6, 7))
    return [*itertools.takewhile(lambda step: step < most, steps), most]


def extended(keys: list[int], ids: list[int]) -> list[int]:
    """A hash per whole block of `ids`, of the block and all before it; `keys` are those of the first blocks."""
    keys = list(keys)
    for start in range(len(keys) * BLOCK, len(ids) - BLOCK + 1, BLOCK):
        keys.append(hash((keys[-1] if keys else 0, tuple(ids[start : start + BLOCK]))))
    return keys


def common_prefix(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:  # by halves, for slices compare fast
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
