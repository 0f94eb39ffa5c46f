"""Run an evaluation: every task, every trial, each attempt journalled by itself.

    evaluate_bench   bench, configuration -> tasks, team, budget -> evaluate
    evaluate         tasks, team -> for each attempt that has no score yet:
                     its journal -> team.solve -> rollout saved -> scored in every mode -> row saved -> journal removed

What the agents do wrong scores 0. What the infrastructure does wrong leaves an attempt unscored: a policy that failed
after every retry, a judge that failed, the budget of the whole run that cut the attempt short. Running the same again
makes those attempts again, and repeats no completed call. After many failures in a row no further attempt is started:
the model's server is down, and waiting for it a thousand times helps nobody.

Attempts go trial by trial (all tasks once, then all a second time), so that a run that ends early has seen most tasks.
"""

from __future__ import annotations

import asyncio
import copy
import importlib.metadata
import importlib.util
import platform
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from wideseek.assembly import open_team, settled
from wideseek.budget import Budget, Limits
from wideseek.concurrency import together
from wideseek.config import Config
from wideseek.errors import BadInput
from wideseek.evals.admission import Admission
from wideseek.evals.benchmarks import load_bench
from wideseek.evals.folder import EvalRun, RunFolder, load_run
from wideseek.evals.metrics import METRICS, measure, summarise
from wideseek.evals.records import Attempt, Outcome, Setup
from wideseek.journal import Journal
from wideseek.records import Kind, Rollout, Score, Task
from wideseek.scoring.frames import reader_versions
from wideseek.scoring.judge import Judge
from wideseek.scoring.tasks import check_tasks
from wideseek.team import Team

CONCURRENCY = 16  # attempts at once; model calls have a limit of their own
SHOWN = ("item_f1", "success")  # while it runs
FAILURES_IN_ROW = 2  # times the concurrency: then the model's server is taken to be down


class ScoreResponse(Protocol):
    """`wideseek.scoring.table.score_response`: an answer and its task become a score in one mode."""

    async def __call__(
        self, response: str | None, task: Task, *, mode: Any, judge: Judge | None, today: date | None
    ) -> Score: ...


@dataclass
class Progress:
    """What can be watched while an evaluation runs. `before` counts attempts that an earlier sitting had ended."""

    total: int
    before: int
    budget: Budget
    trials: int = 1
    clock: Callable[[], float] = time.monotonic
    outcomes: Counter[str] = field(default_factory=Counter)
    totals: dict[str, tuple[float, int]] = field(default_factory=dict)
    in_row: int = 0
    problem: str = ""

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def done(self) -> int:
        return self.before + self.outcomes.total()

    @property
    def seconds(self) -> float:
        return self.clock() - self._started

    @property
    def seconds_left(self) -> float | None:
        """What the rest takes at the pace so far; `None` before the first attempt has ended."""
        ended = self.outcomes.total()
        return self.seconds / ended * (self.total - self.done) if ended else None

    @property
    def means(self) -> dict[str, float]:
        """Running means of this sitting's scores: `item_f1` of tables, `success` of all."""
        return {name: total / count for name, (total, count) in self.totals.items()}

    def add(self, attempt: Attempt, mode: str) -> None:
        self.outcomes[attempt.outcome] += 1
        self.in_row = self.in_row + 1 if attempt.outcome == "policy" else 0
        self.problem = attempt.problem or self.problem
        for name, parts in METRICS.items():
            part, score = parts.get(attempt.kind), attempt.scores.get(mode)
            if name in SHOWN and part and score:
                total, count = self.totals.get(name, (0.0, 0))
                self.totals[name] = total + score[part], count + 1


Watch = Callable[[Progress], None]


async def evaluate_bench(
    bench: str,
    config: Config,
    out: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    kind: Kind | None = None,
    data: Path | None = None,
    trials: int = 1,
    concurrency: int = CONCURRENCY,
    judge: Judge | None = None,
    today: date | None = None,
    watch: Watch | None = None,
    handle_signals: bool = False,
) -> EvalRun:
    """Evaluate what `config` describes on a bench (`benchmarks.load_bench`), in the run folder `out`.

    `config.budget` is the budget of the whole run. `judge` (default: exact comparison) and `today` (the date that
    partial dates are read against) are the scorer's. With `handle_signals` the first Ctrl-C ends the run with what is
    done, the second at once. The same again with the same `out` goes on where it stopped.

    Raises `BadInput` for what the user can mend, `PolicyRejected` for a model that refuses from the start.
    """
    tasks = load_bench(bench, split, limit, kind=kind, data=data)
    setup = make_setup(bench, config, trials=trials, judge=judge, today=today, split=split, limit=limit, kind=kind)
    budget = Budget(Limits(**config.budget.model_dump()))
    async with open_team(config, Journal(), budget) as team:
        if budget.prices_of:
            setup.notes.append(f"US dollars are counted with the list prices of {budget.prices_of}.")
        with _interruptible(budget) if handle_signals else nullcontext():
            return await evaluate(tasks, team, out, setup, judge=judge, concurrency=concurrency, watch=watch)


def make_setup(
    bench: str,
    config: Config,
    *,
    trials: int = 1,
    judge: Judge | None = None,
    today: date | None = None,
    split: str | None = None,
    limit: int | None = None,
    kind: Kind | None = None,
) -> Setup:
    """The record of an evaluation under `config`: strict and official scores where pandas is installed, else strict."""
    if trials < 1:
        raise BadInput(f"trials: {trials}: at least one")
    config = settled(config)
    modes, notes = ["strict", "official"], []
    if missing := [name for name in ("pandas", "dateparser") if importlib.util.find_spec(name) is None]:
        why = f"Official scores are left out: they need {' and '.join(missing)} (pip install wideseek[pandas])"
        modes, notes = ["strict"], [why]
    return Setup(
        bench=bench,
        trials=trials,
        workflow=config.workflow,
        split=split,
        limit=limit,
        kind=kind,
        seed=config.seed,
        model=config.model,
        sub_model=config.sub_model,
        width=config.lead.max_calls if config.workflow == "team" else 0,
        modes=modes,
        judge=judge.pin if judge else "exact",
        today=today.isoformat() if today else None,
        config=config.portable(),
        versions={
            "wideseek": importlib.metadata.version("wideseek"),
            "python": platform.python_version(),
            **reader_versions(),
        },
        notes=notes,
    )


async def evaluate(
    tasks: Sequence[Task],
    team: Team,
    out: Path,
    setup: Setup,
    *,
    judge: Judge | None = None,
    concurrency: int = CONCURRENCY,
    watch: Watch | None = None,
    score: ScoreResponse | None = None,
) -> EvalRun:
    """Evaluate `team` on `tasks` in the run folder `out`: what the folder holds is not done again.

    `team.budget` is the budget of the whole run: what earlier sittings spent counts. `watch` is called whenever an
    attempt has ended. Raises `BadInput` (`RunDirError` for the folder) and `PolicyRejected`; whatever is raised,
    what was done is saved and summarised.
    """
    check_tasks((setup.bench, task) for task in tasks)
    with RunFolder(out, setup, tasks) as folder:
        await _Evaluation(folder, team, judge, score or _score_response(), watch).run(concurrency)
    return load_run(out)


def _score_response() -> ScoreResponse:
    from wideseek.scoring.table import score_response

    return score_response


class _Evaluation:
    """One sitting of an evaluation."""

    def __init__(
        self, folder: RunFolder, team: Team, judge: Judge | None, score: ScoreResponse, watch: Watch | None
    ) -> None:
        self._folder, self._team, self._judge, self._score, self._watch = folder, team, judge, score, watch
        self._setup, self._budget = folder.setup, team.budget
        self._today = date.fromisoformat(folder.setup.today) if folder.setup.today else None
        self._budget.spent = self._budget.spent + folder.spent()
        self._admission = Admission(self._budget, [row.spent for row in folder.attempts.values() if row.ended])
        self._left = [place for place in folder.places if not self._is_scored(*place)]
        self._patience = FAILURES_IN_ROW * CONCURRENCY
        total = len(folder.places)
        self._progress = Progress(total, total - len(self._left), self._budget, self._setup.trials)

    async def run(self, concurrency: int) -> None:
        self._tell()
        places = iter(self._left)
        most = max(1, min(concurrency, len(self._left)))
        try:
            self._patience = FAILURES_IN_ROW * most
            await together(self._work(places) for _ in range(most))
        finally:
            self._summarise()

    async def _work(self, places: Iterator[tuple[Task, int]]) -> None:
        """One worker: attempt after attempt, until none is left or the run has to end."""
        for task, trial in places:
            async with self._admission:
                if self._budget.interrupted or self._is_down:
                    return
                if self._folder.is_ended(task, trial):  # only a judge's verdict is missing
                    await self._judge_again(task, trial)
                elif not self._budget.closing:
                    await self._attempt(task, trial)

    async def _attempt(self, task: Task, trial: int) -> None:
        with self._folder.journal(task, trial) as journal:
            team = self._team.with_journal(journal)
            rollout = await team.solve(task, trial=trial, workflow=self._setup.workflow)
        outcome, problem = _outcome(rollout, self._budget)
        if outcome == "budget" and self._budget.interrupted:
            return  # not ended: its journal is all that is to be kept
        self._folder.save_rollout(rollout)
        attempt = Attempt(
            instance_id=task.instance_id,
            trial=trial,
            language=task.language or "en",
            kind=task.kind or "wide",
            outcome=outcome,
            problem=problem,
            spent=self._folder.journal_usage(task, trial),
        )
        self._admission.paid(attempt.spent)
        timed = not journal.recalled
        await asyncio.to_thread(measure, attempt, rollout, team.profile, team.roles, timed=timed)
        await self._save(attempt, rollout)

    async def _judge_again(self, task: Task, trial: int) -> None:
        before = self._folder.attempts[task.instance_id, trial]
        attempt = copy.deepcopy(before)
        attempt.outcome, attempt.problem = "scored", ""
        await self._save(attempt, self._folder.read_rollout(task, trial))

    async def _save(self, attempt: Attempt, rollout: Rollout) -> None:
        """Score an attempt that has ended, and keep its row."""
        scores = await self._scores(rollout) if attempt.ended else {}
        for mode, score in scores.items():
            attempt.judge_usage = attempt.judge_usage + score.judge
            self._budget.spent = self._budget.spent + score.judge
            if score.unscored is None:
                attempt.scores[mode] = score.parts
            else:
                attempt.outcome, attempt.problem = "judge", f"{mode}: {score.unscored}"
        if attempt.kind == "deep" and attempt.scores:  # a short answer has one score, whatever the mode
            attempt.scores = dict.fromkeys(self._setup.modes, *attempt.scores.values())
        self._folder.save_attempt(attempt, scores)
        self._progress.add(attempt, self._setup.modes[0])
        self._tell()

    async def _scores(self, rollout: Rollout) -> dict[str, Score]:
        modes = self._setup.modes if rollout.task.kind == "wide" else self._setup.modes[:1]
        return {
            mode: await self._score(
                rollout.answer or None, rollout.task, mode=mode, judge=self._judge, today=self._today
            )
            for mode in modes
        }

    @property
    def _is_down(self) -> bool:
        """Whether so many attempts failed in a row that the model's server is taken to be down."""
        return self._progress.in_row >= self._patience

    def _summarise(self) -> None:
        summary = summarise(
            self._setup,
            self._folder.tasks,
            [row for place in self._folder.places if (row := self._row(*place))],
            spent=self._folder.spent(),
            interrupted=self._budget.interrupted,
        )
        summary.notes = [*summary.notes, *self._folder.notes.values()]
        if summary.unscored:
            summary.notes = summary.notes + self._why_early()
        self._folder.save_summary(summary)

    def _why_early(self) -> list[str]:
        """What ended the run before every attempt had a score, and what to do."""
        again = "the same command with the same --out goes on"
        if self._budget.interrupted:
            return [f"Interrupted: {again}."]
        if self._is_down:
            return [f"Ended after {self._progress.in_row} failures in a row: once the model answers, {again}."]
        if self._budget.closing:
            return [f"Ended by the {self._budget.reason}: with a larger budget, {again}."]
        return [f"Some attempts have no score: {again}."]

    def _row(self, task: Task, trial: int) -> Attempt | None:
        return self._folder.attempts.get((task.instance_id, trial))

    def _is_scored(self, task: Task, trial: int) -> bool:
        row = self._row(task, trial)
        return row is not None and row.outcome == "scored"

    def _tell(self) -> None:
        if self._watch:
            self._watch(self._progress)


def _outcome(rollout: Rollout, budget: Budget) -> tuple[Outcome, str]:
    """What a rollout is worth scoring, and if it is not, why: only what the agents did themselves is scored."""
    if rollout.error:
        return "policy", rollout.error
    if rollout.partial:
        return "budget", budget.reason if budget.limited or budget.interrupted else "the budget of the run"
    return "scored", ""


@contextmanager
def _interruptible(budget: Budget) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the run with what is done, the second cancels it."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def interrupt() -> None:
        if not budget.interrupted:
            budget.interrupt()
        elif task is not None:
            task.cancel()

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, interrupt)
    try:
        yield
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)
