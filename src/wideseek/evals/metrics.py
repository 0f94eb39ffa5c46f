"""From attempts to figures.

A score is a matrix [tasks, trials] with NaN where an attempt has none. With s_qn the score of task q in trial n,
over the scored trials of each task (WideSearch, arXiv 2508.07999, section 4):

    Avg@N = mean_q mean_n s_qn      Max@N = mean_q max_n s_qn      Min@N = mean_q min_n s_qn
    Pass@N = Max@N of success       bound = mean over all planned attempts, unscored ones as 0

A wide task succeeds when its table is right in every cell (`score`), a deep one when the judge accepts its answer
(`judged`). Intervals are over tasks: bootstrap of Avg@N, Wilson for success. `critical_steps` is how long an attempt
would take with unlimited parallel hardware, counted in turns.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np

from wideseek.answer import boxed, read_answer
from wideseek.errors import ToolError
from wideseek.evals.records import Attempt, Costs, Metric, Scores, Setup, Status, Summary, Work
from wideseek.evals.stats import Floats, bootstrap_interval, wilson_interval
from wideseek.evidence import Levels, short_answer, telling_key, trace
from wideseek.records import Kind, Message, Rollout, Task, Trajectory, Usage
from wideseek.roles import Profile, Role
from wideseek.table import Table, norm_column

METRICS: dict[str, dict[Kind, str]] = {
    "item_f1": {"wide": "f1_by_item"},
    "row_f1": {"wide": "f1_by_row"},
    "success": {"wide": "score", "deep": "judged"},
    "em": {"deep": "em"},
    "answer_f1": {"deep": "f1"},
    "contains": {"deep": "contains"},
}
"""Which part of a score each figure is made of, by kind of task."""

BY_MODE = ("item_f1", "row_f1", "success")  # the others are the same in every mode


# -------------------------------------------------------------------------------------------------------- one attempt


def measure(attempt: Attempt, rollout: Rollout, profile: Profile, roles: Mapping[str, Role], *, timed: bool) -> Attempt:
    """Fill in what the rollout's agents did and cost. `timed`: no call was taken from a journal."""
    calls = tool_calls(rollout, profile, roles)
    attempt.stop, attempt.levels = rollout.stop, levels_of(rollout)
    attempt.supported = attempt.levels.share if attempt.levels else None
    attempt.searches, attempt.reads = calls["search"], calls["access"]
    attempt.subagents = len(rollout.trajectories) - 1
    attempt.turns = sum(len(run.turns) for run in rollout.trajectories)
    attempt.width, attempt.depth = rollout.width, rollout.depth
    attempt.usage = rollout.usage
    for run in rollout.trajectories:
        attempt.usage_by_role[run.role] = attempt.usage_by_role.get(run.role, Usage()) + run.usage
    attempt.critical_steps = critical_steps(rollout)
    if timed:
        attempt.seconds, attempt.critical_seconds = rollout.seconds, critical_seconds(rollout)
    return attempt


def levels_of(rollout: Rollout) -> Levels | None:
    """How many of the answer's cells stand on which level of evidence, `None` where there is no table or box."""
    task = rollout.task
    table = read_answer(rollout.answer, task.required, task.unique_columns, task.question).table
    if table is None:
        short = boxed(rollout.answer)
        if short is None:
            return None
        return Levels.of([[short_answer(short, rollout)]])
    wanted = {norm_column(name) for name in rollout.task.unique_columns}
    key = [name for name in dict.fromkeys(table.columns) if norm_column(name) in wanted]
    return Levels.of(trace(table, telling_key(table, key), rollout))


def added(levels: Iterable[Levels | None]) -> Levels | None:
    """The cells of several tables by their levels, `None` where none was counted."""
    known = [one for one in levels if one is not None]
    names = ("supported", "mentioned", "unsupported", "empty")
    return Levels(**{name: sum(getattr(one, name) for one in known) for name in names}) if known else None


def tool_calls(rollout: Rollout, profile: Profile, roles: Mapping[str, Role]) -> Counter[str]:
    """How often each tool was used, by the tool's own name: calls that ran and did not fail, a list's items apart."""
    counts: Counter[str] = Counter()
    for run in rollout.trajectories:
        role = roles[run.role]
        replies = {m.call_id: m for m in run.messages() if isinstance(m, Message) and m.role == "tool"}
        for turn in run.turns:
            for call in turn.completion.tool_calls:
                face, reply = profile.faces(role).get(call.name), replies.get(call.id)
                if face is None or reply is None or reply.error:
                    continue
                try:
                    counts[face.tool] += min(len(face.calls(call.arguments)), role.max_calls)
                except ToolError:  # its reply was an error with the same id as a later call's
                    continue
    return counts


def critical_steps(rollout: Rollout) -> int:
    """How many turns have to be taken one after another, however many agents may work side by side.

        steps(agent) = sum over its turns t of (1 + max of steps(child) over the children that it started in t, else 0)

    and of the rollout, steps(lead). Agents of one turn work at the same time, so that only the longest counts; turns of
    one agent follow each other. It lies between `depth` (the turns of one agent) and all turns. As in the critical
    steps of PARL (Kimi K2.5), for trees of any depth.
    """
    return int(_longest_path(rollout, lambda run, waits: len(run.turns)))


def critical_seconds(rollout: Rollout) -> float:
    """The same path in seconds: an agent's wall time, and of one that waits for others the time of its own turns."""
    return _longest_path(rollout, lambda run, waits: sum(turn.seconds for turn in run.turns) if waits else run.seconds)


def _longest_path(rollout: Rollout, own: Callable[[Trajectory, bool], float]) -> float:
    """What the lead takes: each agent its `own` (agent, whether it started others), and its rounds' longest agents."""
    rounds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))  # of an agent's path: round, longest
    for run in sorted(rollout.trajectories, key=lambda run: -run.path.count("/")):  # children before their parents
        took = own(run, bool(rounds[run.path])) + sum(rounds[run.path].values())
        parent, _, place = run.path.rpartition("/")
        number = place.partition(".")[0]
        rounds[parent][number] = max(rounds[parent][number], took)
    return sum(rounds[""].values())


# ------------------------------------------------------------------------------------------------------- all attempts


def score_matrix(
    metric: str, mode: str, tasks: Sequence[Task], attempts: Iterable[Attempt], trials: int
) -> tuple[list[Task], Floats]:
    """The tasks that `metric` is about, and its scores [tasks, trials], NaN where an attempt has none."""
    parts = METRICS[metric]
    chosen = [task for task in tasks if task.kind in parts]
    rows = {task.instance_id: number for number, task in enumerate(chosen)}
    matrix = np.full((len(chosen), trials), np.nan)
    for attempt in attempts:
        row, scored = rows.get(attempt.instance_id), attempt.scores.get(mode)
        if row is not None and scored is not None and attempt.trial < trials:
            matrix[row, attempt.trial] = scored.get(parts.get(attempt.kind, ""), np.nan)
    return chosen, matrix


def metric_of(matrix: Floats, *, proportion: bool = False, seed: int = 0) -> Metric | None:
    """The figure of a matrix [tasks, trials]; `None` where nothing was scored. `proportion`: scores are 0 or 1."""
    scored = ~np.isnan(matrix)
    some = matrix[scored.any(axis=1)]
    if not len(some):
        return None
    average, highest = np.nanmean(some, axis=1), np.nanmax(some, axis=1)
    mean = float(average.mean())
    return Metric(
        avg=mean,
        max=float(highest.mean()),
        min=float(np.nanmin(some, axis=1).mean()),
        bound=float(np.nan_to_num(matrix).mean()),
        ci95=wilson_interval(mean, len(some)) if proportion else bootstrap_interval(average, seed=seed),
        pass_at_n=float(highest.mean()) if proportion else None,
        tasks=len(some),
        attempts=int(scored.sum()),
        planned=matrix.size,
    )


def scores_of(
    mode: str, tasks: Sequence[Task], attempts: Sequence[Attempt], trials: int, metrics: Iterable[str] = METRICS
) -> Scores:
    """The figures of one mode."""
    figures = {}
    for name in metrics:
        _, matrix = score_matrix(name, mode, tasks, attempts, trials)
        figures[name] = metric_of(matrix, proportion=name in ("success", "em"))
    return Scores(**figures)


def summarise(
    setup: Setup, tasks: Sequence[Task], attempts: Sequence[Attempt], *, spent: Usage | None = None, interrupted: bool
) -> Summary:
    """All figures of a run. `spent` is what it has cost altogether (default: what its attempts say)."""
    trials, mode = setup.trials, setup.modes[0]
    plain = scores_of(mode, tasks, attempts, trials)
    planned, unscored = len(tasks) * trials, _unscored(attempts, len(tasks) * trials)
    languages = sorted({task.language or "en" for task in tasks})
    return Summary(
        **{name: getattr(plain, name) for name in METRICS},
        bench=setup.bench,
        model=setup.model,
        workflow=setup.workflow,
        width=setup.width,
        trials=trials,
        tasks=len(tasks),
        planned=planned,
        scored=planned - sum(unscored.values()),
        status=_status(planned, unscored, interrupted),
        unscored=unscored,
        problems=_problems(attempts),
        modes=setup.modes,
        official=scores_of("official", tasks, attempts, trials, BY_MODE) if "official" in setup.modes else None,
        by_language={
            language: scores_of(mode, [task for task in tasks if task.language == language], attempts, trials)
            for language in languages
        },
        supported=_mean(row.supported for row in attempts if row.ended),
        levels=added(row.levels for row in attempts if row.ended),
        work=_work([row for row in attempts if row.ended]),
        costs=_costs(attempts, spent),
        versions=setup.versions,
        notes=setup.notes,
    )


def _unscored(attempts: Iterable[Attempt], planned: int) -> dict[str, int]:
    """Attempts without a score by reason, none left out."""
    outcomes = Counter(row.outcome for row in attempts)
    counts: dict[str, int] = {name: count for name, count in outcomes.items() if name != "scored"}
    missing = planned - outcomes.total()
    return counts | {"missing": missing} if missing else counts


def _status(planned: int, unscored: dict[str, int], interrupted: bool) -> Status:
    if not unscored:
        return "complete"
    if interrupted:
        return "interrupted"
    return "failed" if unscored.get("policy") and sum(unscored.values()) == planned else "partial"


def _problems(attempts: Iterable[Attempt]) -> list[str]:
    """The commonest reasons for a missing score, with their counts."""
    counts = Counter(row.problem for row in attempts if row.problem)
    return [f"{count} × {problem}" for problem, count in counts.most_common(5)]


def _work(attempts: Sequence[Attempt]) -> Work:
    if not attempts:
        return Work()
    names = ("searches", "reads", "subagents", "turns", "width", "depth", "critical_steps")
    return Work(
        **{name: fmean(getattr(row, name) for row in attempts) for name in names},
        tokens=fmean(row.usage.tokens for row in attempts),
        usd=fmean(row.usage.usd for row in attempts),
        seconds=_mean(row.seconds for row in attempts),
        critical_seconds=_mean(row.critical_seconds for row in attempts),
        timed=sum(row.seconds is not None for row in attempts),
    )


def _costs(attempts: Iterable[Attempt], spent: Usage | None) -> Costs:
    by_role: dict[str, Usage] = {}
    judge = kept = paid = Usage()
    for row in attempts:
        for role, usage in row.usage_by_role.items():
            by_role[role] = by_role.get(role, Usage()) + usage
        judge, kept, paid = judge + row.judge_usage, kept + row.usage, paid + row.spent
    total = spent if spent is not None else paid + judge
    return Costs(by_role=by_role, judge=judge, abandoned=_less(total, kept + judge), total=total)


def _less(total: Usage, part: Usage) -> Usage:
    return Usage(
        max(0, total.calls - part.calls),
        max(0, total.prompt_tokens - part.prompt_tokens),
        max(0, total.completion_tokens - part.completion_tokens),
        max(0.0, total.usd - part.usd),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


# ------------------------------------------------------------------------------------------------------- for a screen


def summary_table(summary: Summary) -> Table:
    """The figures as a table: one line a figure, mode and language."""
    columns = ["metric", f"avg@{summary.trials}", "95 % interval", "bound", f"max@{summary.trials}"]
    columns += [f"min@{summary.trials}", f"pass@{summary.trials}", "tasks", "scored"]
    first = summary.modes[0] if summary.modes else "strict"
    blocks: list[tuple[str, Scores]] = [(first, summary)]
    blocks += [("official", summary.official)] if summary.official else []
    if len(summary.by_language) > 1:
        blocks += [(f"{first}, {language}", scores) for language, scores in summary.by_language.items()]
    lines = [
        _line(f"{name} ({label})", metric)
        for label, scores in blocks
        for name in METRICS
        if (metric := getattr(scores, name)) is not None
    ]
    return Table(columns, lines)


def _line(label: str, metric: Metric) -> list[str]:
    interval = f"{metric.ci95[0]:.3f} to {metric.ci95[1]:.3f}" if metric.ci95 else ""
    passed = "" if metric.pass_at_n is None else f"{metric.pass_at_n:.3f}"
    figures = [f"{metric.avg:.3f}", interval, f"{metric.bound:.3f}", f"{metric.max:.3f}", f"{metric.min:.3f}", passed]
    return [label, *figures, f"{metric.tasks}", f"{metric.attempts} of {metric.planned}"]
