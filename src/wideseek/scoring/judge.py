"""Judges: who says whether two texts mean the same.

Judge        the seam: names and keys mapped onto the gold's, pairs of cells compared, a short answer accepted
ExactJudge   offline and deterministic: two texts agree if and only if `norm_str` of them is equal
LLMJudge     any chat policy (llm_judge.py)
Case         one answer under judgement: its task, and what judging it has cost so far
JudgeFailed  no verdict could be had: the answer is unscored, never wrong
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

from wideseek.errors import WideseekError
from wideseek.records import Task, Usage
from wideseek.scoring.official_cells import norm_str

T = TypeVar("T")
Pair = tuple[str, str]
"""What the response says, and what the gold says."""


class JudgeFailed(WideseekError):
    """The judge could not be reached, or gave no usable verdict on any attempt."""


class Case(msgspec.Struct):
    """One answer under judgement. A judge adds to `usage` what it spends; `cached` counts verdicts from its cache."""

    task: Task
    usage: Usage = msgspec.field(default_factory=Usage)
    cached: int = 0


class Judge(Protocol):
    """Says what means the same. Every method raises `JudgeFailed` where it cannot; none changes its arguments.

    `pin` names the judge in reports: model and version of its prompts.
    """

    @property
    def pin(self) -> str: ...

    async def map_columns(self, case: Case, names: Sequence[str], required: Sequence[str]) -> dict[str, str]:
        """The response's column names that mean a required one, mapped onto it."""
        ...

    async def map_keys(self, case: Case, column: str, keys: Sequence[str], references: Sequence[str]) -> dict[str, str]:
        """The response's cells of a key column that name the same as a reference, mapped onto it."""
        ...

    async def agree(self, case: Case, column: str, pairs: Sequence[Pair], criterion: str) -> Sequence[float]:
        """1 for each pair that agrees under the criterion, else 0, in order."""
        ...

    async def accepts(self, case: Case, answer: str, accepted: Sequence[str]) -> bool:
        """Whether a short answer to the task's question means one of the accepted ones."""
        ...


class ExactJudge:
    """Texts agree if and only if they are equal without case, spaces and asterisks. Costs nothing."""

    pin = "exact"

    async def map_columns(self, case: Case, names: Sequence[str], required: Sequence[str]) -> dict[str, str]:
        return equal_names(names, required)

    async def map_keys(self, case: Case, column: str, keys: Sequence[str], references: Sequence[str]) -> dict[str, str]:
        return equal_names(keys, references)

    async def agree(self, case: Case, column: str, pairs: Sequence[Pair], criterion: str) -> Sequence[float]:
        return [float(same(said, gold)) for said, gold in pairs]

    async def accepts(self, case: Case, answer: str, accepted: Sequence[str]) -> bool:
        return any(same(answer, text) for text in accepted)


def same(one: str, other: str) -> bool:
    return norm_str(one) == norm_str(other)


def equal_names(names: Iterable[str], references: Iterable[str]) -> dict[str, str]:
    """Each name that equals a reference in `norm_str`, mapped onto the first such reference."""
    first: dict[str, str] = {}
    for reference in references:
        first.setdefault(norm_str(reference), reference)
    return {name: first[normed] for name in names if (normed := norm_str(name)) in first}
