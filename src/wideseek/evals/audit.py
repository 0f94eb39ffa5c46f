"""Contamination: which train tasks overlap a benchmark's, by question or by gold.

    question share   of a benchmark question's n-grams of words, those that stand in the train question
    key share        of a benchmark gold table's keys (whole key tuples), those that are keys of the train gold

Both are shares of the benchmark's side: how much of what it asks has been seen. What many tasks have in common
(templates, format instructions) is no evidence, nor is a key without a letter (a year, a rank). Questions that are
equal word for word are found whatever their length. Chinese and Japanese count every character as a word.

An inverted index over the benchmark makes the work grow with the train tasks alone: 20,000 against 1,000 take seconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from wideseek.records import Task
from wideseek.table import Table, find_tables, norm_column, norm_key

MIN_GRAMS = 3  # shared n-grams without which a share means nothing
FEW = 3  # tasks: what stands in no more than so many is never a template
EXAMPLES = 5

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


class Overlap(msgspec.Struct, frozen=True):
    """A train task and a benchmark task that overlap.

    `same_question`: word for word. `column_share` is the share of the benchmark's columns that the train gold has (the
    same keys with other columns ask something else). `keys` are examples of shared keys, as they are compared.
    """

    train_id: str
    bench_id: str
    question_share: float = 0.0
    key_share: float = 0.0
    column_share: float = 0.0
    same_question: bool = False
    keys: list[str] = []

    @property
    def worst(self) -> float:
        return 1.0 if self.same_question else max(self.question_share, self.key_share)


class Audit(msgspec.Struct, frozen=True):
    """What an audit found, worst first, and under which thresholds."""

    checked: int
    against: int
    ngram: int
    question_share: float
    key_share: float
    min_keys: int
    common_share: float
    overlaps: list[Overlap]

    @property
    def train_ids(self) -> list[str]:
        """The train tasks that overlap: those to leave out."""
        return list(dict.fromkeys(overlap.train_id for overlap in self.overlaps))

    def as_table(self) -> Table:
        """One line a pair, for a screen."""
        lines = [
            [
                *(o.train_id, o.bench_id),
                "the same" if o.same_question else f"{o.question_share:.0%}",
                *(f"{o.key_share:.0%}", f"{o.column_share:.0%}", ", ".join(o.keys)),
            ]
            for o in self.overlaps
        ]
        return Table(["train task", "benchmark task", "question", "keys", "columns", "shared keys"], lines)


def audit(
    tasks: Iterable[Task],
    against: Sequence[Task],
    *,
    ngram: int = 8,
    question_share: float = 0.5,
    key_share: float = 0.5,
    min_keys: int = 3,
    common_share: float = 0.05,
) -> Audit:
    """The pairs of train and benchmark tasks whose questions or keys overlap.

    A pair is listed when the questions are equal, when `question_share` of the benchmark question's `ngram`-grams are
    in the train question, or when `key_share` of its keys, and at least `min_keys` of them, are in the train gold.
    N-grams that more than `common_share` of the benchmark's tasks or of the train tasks have in common do not count.
    """
    bench = _Index([_Facts.of(task, ngram) for task in against])
    traces = [bench.trace(_Facts.of(task, ngram)) for task in tasks]
    bench.forget(_common(traces, bench, common_share))
    overlaps = [
        overlap
        for trace in traces
        for overlap, keys in bench.overlaps(trace)
        if overlap.same_question
        or overlap.question_share >= question_share
        or (overlap.key_share >= key_share and keys >= min_keys)
    ]
    overlaps.sort(key=lambda o: (-o.worst, o.train_id, o.bench_id))
    return Audit(len(traces), len(against), ngram, question_share, key_share, min_keys, common_share, overlaps)


class _Facts(msgspec.Struct, gc=False):
    """What is compared of a task: its question's words and n-grams, its gold's keys and columns."""

    task_id: str
    question: str
    grams: frozenset[str]
    keys: frozenset[str]
    columns: frozenset[str]

    @classmethod
    def of(cls, task: Task, ngram: int) -> _Facts:
        words = _WORD.findall(unicodedata.normalize("NFKC", task.question).casefold())
        grams = frozenset(" ".join(words[i : i + ngram]) for i in range(len(words) - ngram + 1))
        table = _gold(task)
        columns = [norm_column(name) for name in table.columns]
        wanted = [norm_column(name) for name in task.unique_columns]
        key = [columns.index(name) for name in wanted if name in columns] or ([0] if columns else [])
        keys = (" | ".join(norm_key(row[i]) for i in key) for row in table.rows)
        return cls(
            task.instance_id,
            " ".join(words),
            grams,
            frozenset(key for key in keys if any(map(str.isalpha, key))),
            frozenset(columns),
        )


def _gold(task: Task) -> Table:
    """The gold table; empty for a short answer, which many questions share by chance."""
    tables = find_tables(task.answer) if isinstance(task.answer, str) and task.kind == "wide" else []
    return tables[-1] if tables else Table()


class _Trace(msgspec.Struct, gc=False):
    """What of the benchmark a train task holds: n-grams, and keys by the number of the benchmark task."""

    train_id: str
    columns: frozenset[str]
    grams: list[str]
    keys: dict[int, list[str]]
    same: list[int]


class _Index:
    """The benchmark's facts, found by what they hold."""

    def __init__(self, facts: Sequence[_Facts]) -> None:
        self.facts = facts
        self.with_gram: dict[str, list[int]] = defaultdict(list)
        self._with_key: dict[str, list[int]] = defaultdict(list)
        self._with_question: dict[str, list[int]] = defaultdict(list)
        for number, fact in enumerate(facts):
            for gram in fact.grams:
                self.with_gram[gram].append(number)
            for key in fact.keys:
                self._with_key[key].append(number)
            if fact.question:
                self._with_question[fact.question].append(number)
        self._sizes = [len(fact.grams) for fact in facts]

    def trace(self, train: _Facts) -> _Trace:
        keys: dict[int, list[str]] = defaultdict(list)
        for key in train.keys & self._with_key.keys():
            for number in self._with_key[key]:
                keys[number].append(key)
        same = self._with_question.get(train.question, [])
        return _Trace(train.task_id, train.columns, [*(train.grams & self.with_gram.keys())], dict(keys), same)

    def forget(self, grams: Iterable[str]) -> None:
        """These n-grams are no evidence."""
        for gram in grams:
            for number in self.with_gram.pop(gram, []):
                self._sizes[number] -= 1

    def overlaps(self, trace: _Trace) -> Iterator[tuple[Overlap, int]]:
        """Every benchmark task that the train task shares something with, and how many keys."""
        grams = Counter(number for gram in trace.grams for number in self.with_gram.get(gram, []))
        for number in sorted({*trace.same, *grams, *trace.keys}):
            fact, keys = self.facts[number], trace.keys.get(number, [])
            overlap = Overlap(
                train_id=trace.train_id,
                bench_id=fact.task_id,
                question_share=grams[number] / self._sizes[number] if grams[number] >= MIN_GRAMS else 0.0,
                key_share=len(keys) / len(fact.keys) if keys else 0.0,
                column_share=len(fact.columns & trace.columns) / len(fact.columns) if fact.columns else 0.0,
                same_question=number in trace.same,
                keys=sorted(keys)[:EXAMPLES],
            )
            yield overlap, len(keys)


def _common(traces: Sequence[_Trace], bench: _Index, share: float) -> list[str]:
    """The n-grams that too many tasks of either side have in common: templates and format instructions."""
    in_train = Counter(gram for trace in traces for gram in trace.grams)
    most_train, most_bench = max(FEW, share * len(traces)), max(FEW, share * len(bench.facts))
    return [
        gram for gram, numbers in bench.with_gram.items() if len(numbers) > most_bench or in_train[gram] > most_train
    ]
