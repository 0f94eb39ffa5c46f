"""The statistics under metrics and compare: intervals and tests over tasks, seeded, in numpy.

    bootstrap_interval   percentile bootstrap of a mean (Efron and Tibshirani, An Introduction to the Bootstrap, 13.3)
    wilson_interval      score interval of a proportion (Wilson 1927): centre (p + z²/2n) / (1 + z²/n),
                         half width z / (1 + z²/n) · sqrt(p(1-p)/n + z²/4n²)
    sign_flip_test       permutation test of a mean paired difference: under the null every difference may as well
                         have the other sign; all 2ⁿ signs where n <= 14, else random ones, p = (1 + hits) / (1 + draws)
    holm                 Holm 1979: p-values sorted upwards, the i-th of m times (m - i + 1), made monotone

Tasks are the unit everywhere: trials of one task are averaged first, because they are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Z95 = 1.959963984540054
EXACT_UP_TO = 14  # tasks: 16,384 sign patterns
CELLS = 4_000_000  # numbers drawn at once


def bootstrap_interval(
    values: Sequence[float] | Floats, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """The 95 % interval of the mean of `values` (one per task); `None` for fewer than two."""
    data = np.asarray(values, dtype=np.float64)
    if len(data) < 2:
        return None
    means = np.concatenate([data[rows].mean(axis=1) for rows in _draws(len(data), resamples, seed)])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def wilson_interval(share: float, count: float) -> tuple[float, float] | None:
    """The 95 % interval of a `share` of `count` tasks; `None` for fewer than two.

    With several trials a task, `share` is the mean of the tasks' shares: then the interval is on the safe side, for
    such a mean varies at most as much as one trial's.
    """
    if count < 2:
        return None
    squared = Z95 * Z95
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    spread = share * (1 - share) / count + squared / (4 * count * count)
    half = Z95 / (1 + squared / count) * float(np.sqrt(max(0.0, spread)))
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def sign_flip_test(differences: Sequence[float] | Floats, resamples: int = 10_000, seed: int = 0) -> float:
    """The two-sided p-value of a mean paired difference, in (0, 1]. 1.0 where nothing differs."""
    data = np.asarray(differences, dtype=np.float64)
    data = data[data != 0]  # the sign of nought changes nothing
    if not len(data):
        return 1.0
    observed = abs(data.sum()) - 1e-12 * np.abs(data).sum()  # equal sums in another order of adding count as equal
    if len(data) <= EXACT_UP_TO:
        patterns = (np.arange(2 ** len(data))[:, None] >> np.arange(len(data))) & 1
        sums = np.abs((1 - 2 * patterns) @ data)
        return float(np.mean(sums >= observed))
    hits = 0
    rng = np.random.default_rng(seed)
    for size in _chunks(resamples, len(data)):
        signs = rng.integers(0, 2, size=(size, len(data)), dtype=np.int8)
        hits += int(np.count_nonzero(np.abs((1.0 - 2.0 * signs) @ data) >= observed))
    return (1 + hits) / (1 + resamples)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number, in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (len(order) - rank)))
        corrected[index] = largest
    return corrected


def _draws(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Row indices of resamples with replacement, [chunk, count] at a time."""
    rng = np.random.default_rng(seed)
    for size in _chunks(resamples, count):
        yield rng.integers(0, count, size=(size, count))


def _chunks(resamples: int, count: int) -> Iterator[int]:
    step = max(1, CELLS // count)
    for start in range(0, resamples, step):
        yield min(step, resamples - start)
