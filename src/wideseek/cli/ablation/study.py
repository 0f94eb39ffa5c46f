"""All runs of an ablation that are missing, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wideseek.cli.ablation.arms import ARMS, CONTROLS, GROUPS, Job
from wideseek.cli.ablation.measuring import measurements, probes
from wideseek.cli.ablation.run import run_job
from wideseek.errors import BadInput, BudgetEnded
from wideseek.evals.ablation import PLAN, Ablation, Plan, Run, load_ablation, read_plan, read_run, run_name

if TYPE_CHECKING:
    from wideseek.train.log import Bar
    from wideseek.train.settings import MarlConfig

POLL = 1.0  # seconds between two looks at the runs


def run_ablation(
    load: Callable[[dict[str, Any]], MarlConfig],
    arms: Sequence[str],
    groups: set[str],
    seeds: int,
    out: Path,
    *,
    jobs: int = 1,
    quiet: bool = False,
) -> Ablation:
    """Make all runs that are missing in `out`. `load` gives the configuration with further keys set.

    Raises `BadInput` for a folder whose study has another configuration, what a run raised, and `BudgetEnded` where
    the user interrupted it; the same again goes on.
    """
    from wideseek.train.log import progress_bar

    base = load({"out": str(out)})
    planned = _plan(base, arms, seeds, out)
    todo = [
        Job(
            arm,
            load({**ARMS[arm].changes, "seed": seed, "out": str(out / run_name(arm, seed))}),
            out,
            _probes(arm, groups),
        )
        for seed in range(base.seed, base.seed + seeds)
        for arm in arms
    ]
    done = [job for job in todo if _has(read_run(out / job.name), job)]
    with progress_bar("study", len(todo) * base.steps, sum(_steps(job) for job in todo), quiet) as bar:
        bar.say(
            f"{len(todo)} runs of {base.steps} steps, {len(done)} done, {jobs} side by side · {planned.questions} · "
            f"{out}"
        )
        left = [job for job in todo if job not in done]
        trained = [job for job in left if job.arm not in CONTROLS]
        for wave in (trained, [job for job in left if job.arm in CONTROLS]):  # a control's size is that of `joint`
            _run_jobs(wave, jobs, todo, bar)
    return load_ablation(out)


def _plan(base: MarlConfig, arms: Sequence[str], seeds: int, out: Path) -> Plan:
    """The plan of the study in `out`, with these arms and seeds. Raises `BadInput` where its settings are others."""
    from wideseek.evals.folder import write_whole
    from wideseek.train.model import model_folder, weights_digest
    from wideseek.train.settings import changes

    if not base.eval.every:
        raise BadInput("eval.every: 0: a study measures before and after: set it, to steps at most")
    if base.eval.kind == "deep" or not (base.eval.greedy and base.eval.sampled):
        raise BadInput("eval: a study measures tables, greedy and sampled: leave kind, greedy and sampled as they are")
    config = base.model_dump(mode="json", exclude={"out", "seed"})
    questions = f"{base.eval.limit} {base.eval.kind or ''} questions of {', '.join(base.eval.tasks)}".replace("  ", " ")
    weights = weights_digest(model_folder(base.model))
    plan = read_plan(out) or Plan(config, questions, weights=weights)
    if changed := changes(plan.config, config):
        raise BadInput(f"{out}: this study has other settings ({changed[0]}): choose another --out")
    if plan.weights != weights:
        raise BadInput(f"{out}: this study began with other weights of {base.model}: choose another --out")
    plan.arms = {arm: ARMS[arm].about for arm in ARMS if arm in {*plan.arms, *arms}}
    plan.seeds = sorted({*plan.seeds, *range(base.seed, base.seed + seeds)})
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / PLAN, plan)
    return plan


def _probes(arm: str, groups: set[str]) -> tuple[str, ...]:
    """Further measurements: by width before and after training, short answers where the data vary."""
    probed = ("data", "width")
    return tuple(group for group in probed if group in groups and arm in (*GROUPS[group], *CONTROLS))


def _has(run: Run | None, job: Job) -> bool:
    """Whether a run has ended and has all that is asked of it now."""
    return run is not None and all(name in run.probes for name, *_ in probes(job))


def _run_jobs(jobs: Sequence[Job], side_by_side: int, all_of_them: Sequence[Job], bar: Bar) -> None:
    """Run each in a process of its own, and tell how far they are."""
    from wideseek.train.sitting import interruptible

    told: set[tuple[str, int]] = set()
    left, waiting = iter(jobs), set[Future[None]]()
    spawn = multiprocessing.get_context("spawn")
    with interruptible() as interrupted, ProcessPoolExecutor(side_by_side, spawn, max_tasks_per_child=1) as pool:
        try:
            while True:
                # no more than can begin at once: what waits in the pool could not be called off
                waiting |= {pool.submit(run_job, job) for job in islice(left, side_by_side - len(waiting))}
                if not waiting:
                    return
                ended, waiting = wait(waiting, POLL, FIRST_COMPLETED)
                _tell(all_of_them, told, bar)
                if interrupted():
                    raise BudgetEnded("interrupted; what was learnt is saved: go on with the same command")
                for future in ended:
                    future.result()
        except BrokenProcessPool as error:
            raise BadInput("a run was killed (out of memory?): the same command goes on where it was") from error
        finally:
            for child in multiprocessing.active_children() if waiting else ():
                child.terminate()  # it saves what it has learnt


def _tell(jobs: Sequence[Job], told: set[tuple[str, int]], bar: Bar) -> None:
    """What the runs' folders say: measurements as lines, steps on the bar."""
    running = []
    for job in jobs:
        lines = _lines(job)
        if not lines or read_run(job.config.out) is not None:
            continue
        reward = next((f", reward {line['reward']:.2f}" for line in reversed(lines) if "reward" in line), "")
        running.append(f"{job.name} at {lines[-1]['step']}{reward}")
        for step, measured in measurements(lines):
            if (job.name, step) not in told:
                told.add((job.name, step))
                shown = ", ".join(f"{name} {value:.3f}" for name, value in measured.items())
                bar.say(f"{job.name}, step {step}: item F1 {shown}")
    bar.show(sum(_steps(job) for job in jobs), " · ".join(running))


def _steps(job: Job) -> int:
    """How far a run is; a control counts as as many steps as others, once it has ended."""
    if read_run(job.config.out) is not None:
        return job.config.steps
    return int(max((line["step"] for line in _lines(job)), default=0))


def _lines(job: Job) -> list[dict[str, Any]]:
    """What a run of reinforcement learning has logged."""
    from wideseek.train.log import read_metrics

    return [] if job.arm in CONTROLS else read_metrics(job.config.out / "metrics.jsonl")
