"""One run of an ablation, in a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from wideseek.cli.ablation.arms import ARMS, Job
from wideseek.cli.ablation.controls import is_trained, supervised
from wideseek.cli.ablation.measuring import measure, measure_probes, measurements
from wideseek.evals.ablation import RESULT, Run, read_run


def run_job(job: Job) -> None:
    """Train where that is not done, measure what is missing, and write result.json."""
    from wideseek.evals.folder import write_whole

    _end_with_the_study()
    job.config.out.mkdir(parents=True, exist_ok=True)
    make = {"none": _untrained, "marl": _reinforced}.get(ARMS[job.arm].how, supervised)
    run = read_run(job.config.out) or make(job)
    run.probes |= asyncio.run(measure_probes(job))
    write_whole(job.config.out / RESULT, run)


def _end_with_the_study() -> None:
    """Have this process told to stop, as by the user, once the one that started it is gone, however it was killed."""
    study = multiprocessing.parent_process()
    if study is None:
        return

    def watch() -> None:
        study.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _untrained(job: Job) -> Run:
    measured = asyncio.run(measure(job.config, job.config.model, job.config.out / "evals" / "start"))
    return Run(arm=job.arm, seed=job.config.seed, start=measured, final=measured, seconds=0.0)


def _reinforced(job: Job) -> Run:
    """The run of an arm that reinforcement learning trains, which measures before and after itself."""
    from wideseek.cli.training import run_training
    from wideseek.train.curve import smoothed
    from wideseek.train.log import read_metrics

    config = job.config
    if not is_trained(config.out):
        run_training(config, resume=True, quiet=True)
    lines = read_metrics(config.out / "metrics.jsonl")
    curve, steps = list(measurements(lines)), [line for line in lines if "reward" in line]
    return Run(
        arm=job.arm,
        seed=config.seed,
        start=curve[0][1],
        final=curve[-1][1],
        seconds=lines[-1]["seconds"],
        cpu_seconds=time.process_time(),
        steps=config.steps,
        tokens={
            "sampled": int(sum(line["sampled_tokens"] for line in steps)),
            "prefilled": int(sum(line.get("prefilled_tokens", 0) for line in steps)),
            "learnt": int(sum(line["computed_tokens"] for line in steps)),
        },
        figures=_last_figures(lines),
        curve=curve,
        reward=smoothed([(line["step"], line["reward"]) for line in steps]),
    )


LAST = 5  # steps
FIGURES = ("item_f1", "success", "format_ok", "answered", "subagents", "turns", "tokens_lead", "tokens_sub", "entropy")


def _last_figures(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the last steps' rollouts were like, and the other scores of the last evaluation."""
    steps = [line for line in lines if "reward" in line][-LAST:]
    known = {name: [line[name] for line in steps if line.get(name) is not None] for name in FIGURES}
    last = next(line for line in reversed(lines) if "eval_greedy_item_f1" in line or "eval_sampled_item_f1" in line)
    scores = {k.removeprefix("eval_"): v for k, v in last.items() if k.endswith(("_row_f1", "_success"))}
    return {**{f"train_{k}": sum(v) / len(v) for k, v in known.items() if v}, **scores}
