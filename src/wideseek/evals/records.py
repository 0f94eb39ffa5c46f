"""The records of an evaluation's run folder; `wideseek.evals` says in which file each of them stands.

    Setup      what is evaluated, and how
    Attempt    one attempt at one task: its outcome, scores, work and cost
    Metric     one figure over all tasks: Avg@N, Max@N, Min@N, Pass@N, interval, bound
    Scores     the figures of one mode or one language
    Summary    everything that a run has to say

Scores are shares in [0, 1], times are seconds, costs are `Usage` (tokens and US dollars).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

import msgspec

from wideseek.evidence import Levels
from wideseek.records import Amount, Count, Kind, Language, Stop, Task, Usage

FORMAT = 1
MOST_TRIALS = 100_000
Outcome = Literal["scored", "judge", "policy", "budget"]
Status = Literal["complete", "partial", "failed", "interrupted"]
Parts = dict[str, Annotated[float, msgspec.Meta(ge=0, le=1)]]
"""The named parts of one score: `f1_by_item`, `f1_by_row`, `score` ... of a table; `em`, `f1`, `contains` of a text."""


class Setup(msgspec.Struct, kw_only=True):
    """What is evaluated, and how: the record in eval.json.

    `config` is what differs from the default configuration, `modes` the scoring modes side by side (the first is the
    one that plain figures mean), `today` the date that incomplete dates are read against (a resume keeps it), `tasks`
    the number of tasks and `digest` their fingerprint.
    """

    bench: str
    trials: Annotated[int, msgspec.Meta(ge=1, le=MOST_TRIALS)]
    workflow: Literal["team", "single"] = "team"
    split: str | None = None
    limit: int | None = None
    kind: Kind | None = None
    seed: int = 0
    model: str = ""
    sub_model: str | None = None
    width: int = 0
    modes: Annotated[list[str], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["strict"])
    judge: str = "exact"
    today: str | None = None
    config: dict[str, Any] = {}
    tasks: int = 0
    digest: str = ""
    versions: dict[str, str] = {}
    notes: list[str] = []
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Raises `ValueError` for a day that is none."""
        if self.today is not None:
            date.fromisoformat(self.today)


class _Steps(msgspec.Struct, kw_only=True):
    """Critical steps (`evals.metrics.critical_steps`), read under their name of older run folders as well."""

    critical_steps: Amount
    critical_turns: Amount | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.critical_turns is not msgspec.UNSET:
            self.critical_steps, self.critical_turns = self.critical_turns, msgspec.UNSET


class Attempt(_Steps, omit_defaults=True, kw_only=True):
    """One attempt at one task.

    `scores` maps a mode to the parts of its score; a mode whose judge failed is not in it. `problem` says why there is
    no score. `levels` counts the answer's cells by their level of evidence, `supported` is the share of supported ones
    among all of them; both are `None` without a table. `usage` is what the rollout
    holds, by role in `usage_by_role`; `spent` what was paid, replies that no longer fit after a resume included.

    `seconds` and `critical_seconds` are `None` for an attempt that was partly taken from a journal: its model calls
    took no time. `critical_steps` (turns) and `critical_seconds` are the longest path through the agent tree.
    """

    instance_id: str
    trial: Count
    language: Language
    kind: Kind
    outcome: Outcome
    problem: str = ""
    scores: dict[str, Parts] = {}
    stop: Stop | None = None
    supported: Amount | None = None
    levels: Levels | None = None
    searches: Count = 0
    reads: Count = 0
    subagents: Count = 0
    turns: Count = 0
    width: Count = 0
    depth: Count = 0
    usage: Usage = msgspec.field(default_factory=Usage)
    usage_by_role: dict[str, Usage] = {}
    spent: Usage = msgspec.field(default_factory=Usage)
    judge_usage: Usage = msgspec.field(default_factory=Usage)
    seconds: Amount | None = None
    critical_seconds: Amount | None = None
    critical_steps: Amount = 0

    @property
    def place(self) -> tuple[str, int]:
        return self.instance_id, self.trial

    @property
    def ended(self) -> bool:
        """Whether the agents need not work again: what is missing, if anything, is a judge's verdict."""
        return self.outcome in ("scored", "judge")


class Metric(msgspec.Struct, kw_only=True):
    """One figure: per task over its scored trials, then the mean over tasks.

    `ci95` is the 95 % interval of `avg` over tasks, `None` for fewer than two tasks. `bound` is the mean over all
    planned attempts with unscored ones as 0: the truth lies at or above it. `pass_at_n` is the share of tasks that
    succeeded in one trial at least, for `success` only. `tasks` and `attempts` count what was scored, `planned` the
    attempts that were to be made.
    """

    avg: float
    max: float
    min: float
    bound: float
    ci95: tuple[float, float] | None = None
    pass_at_n: float | None = msgspec.field(default=None, name="pass")
    tasks: int = 0
    attempts: int = 0
    planned: int = 0


class Scores(msgspec.Struct, kw_only=True):
    """The figures of one mode: of tables, of both (`success`), of short answers. `None`: no such task was scored."""

    item_f1: Metric | None = None
    row_f1: Metric | None = None
    success: Metric | None = None
    em: Metric | None = None
    answer_f1: Metric | None = None
    contains: Metric | None = None


class Work(_Steps, kw_only=True):
    """What an attempt did, as means over the attempts that ended; times over those that ran in one go (`timed`)."""

    searches: float = 0.0
    reads: float = 0.0
    subagents: float = 0.0
    turns: float = 0.0
    width: float = 0.0
    depth: float = 0.0
    tokens: float = 0.0
    usd: float = 0.0
    critical_steps: float = 0.0
    seconds: float | None = None
    critical_seconds: float | None = None
    timed: int = 0


class Costs(msgspec.Struct, kw_only=True):
    """The ledger: what the rollouts hold by role, the judge, what no longer fitted after a resume, and all of it."""

    by_role: dict[str, Usage] = {}
    judge: Usage = msgspec.field(default_factory=Usage)
    abandoned: Usage = msgspec.field(default_factory=Usage)
    total: Usage = msgspec.field(default_factory=Usage)


class Summary(Scores, kw_only=True):
    """The record in summary.json: the figures of the first mode, of the other modes, and of each language.

    `unscored` counts attempts without a score by reason (`policy`, `budget`, `judge`, `missing`: not made yet).
    `versions` are those of wideseek, Python, pandas and dateparser that it was scored with.
    `status` is `complete` when every planned attempt has a score. `problems` are the commonest reasons for a missing
    score, `notes` what else a reader has to know: a mode that was left out, why the run ended early. `supported` is the
    mean over attempts of the share of supported cells, `levels` counts the cells of all attempts by their level.
    """

    bench: str
    model: str
    workflow: str
    width: int
    trials: int
    tasks: int
    planned: int
    scored: int
    status: Status
    unscored: dict[str, int] = {}
    problems: list[str] = []
    modes: list[str] = []
    official: Scores | None = None
    by_language: dict[str, Scores] = {}
    supported: float | None = None
    levels: Levels | None = None
    work: Work = msgspec.field(default_factory=Work)
    costs: Costs = msgspec.field(default_factory=Costs)
    versions: dict[str, str] = {}
    notes: list[str] = []


def tasks_digest(tasks: Sequence[Task]) -> str:
    """A fingerprint of questions and gold: equal tasks, equal digest."""
    encode = msgspec.json.Encoder(order="sorted").encode
    total = hashlib.blake2b(digest_size=8)
    for task in tasks:
        total.update(encode(task) + b"\n")
    return total.hexdigest()


def task_digest(task: Task) -> str:
    """A fingerprint of one task as it is asked and scored: its question, gold and evaluation, not its origin."""
    gold = {name: value for name, value in task.meta.items() if name == "answer_csv"}
    return tasks_digest([msgspec.structs.replace(task, meta=gold, split=None)])
