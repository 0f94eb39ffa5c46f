"""`wideseek study ablation`: trainings that differ in one thing, each with several seeds, beside two controls.

    CONFIG + an arm's changes + a seed  ->  reinforcement learning in OUT/ARM/seed-N (`train.loop`)  ->  result.json
    sft         the expert's demonstrations of the questions that `joint` was asked  ->  `train.sft`  ->  result.json
    best-of-n   every such question asked of the start as often as in `joint`, the best rollout where it is better than
                the others' mean (rejection fine-tuning)                             ->  `train.sft`  ->  result.json

Compute is counted in tokens, which is the same on every machine: `sft` learns from as many as `joint` sampled and
learnt from together; `best-of-n` samples as many rollouts as `joint` and then learns from as many tokens as it did.

Each run is a process of its own, `jobs` side by side; what has ended is not done again, and what was killed goes on
from its last checkpoint. Runs tell what they do through their folders, which this process reads.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wideseek.errors import BadInput, BudgetEnded
from wideseek.evals.ablation import (
    DECODINGS,
    PLAN,
    RESULT,
    Ablation,
    Measured,
    Plan,
    Run,
    load_ablation,
    read_plan,
    read_run,
    run_name,
)

if TYPE_CHECKING:
    from wideseek.records import Rollout, Task
    from wideseek.team import Team
    from wideseek.train.groups import Group
    from wideseek.train.log import Bar
    from wideseek.train.questions import Question
    from wideseek.train.settings import MarlConfig


@dataclass(frozen=True)
class Arm:
    """What an arm is, and what it changes in the configuration that all share."""

    about: str
    changes: Mapping[str, Any]
    how: Literal["marl", "expert", "best", "none"] = "marl"


SINGLE = {"team.workflow": "single", "roles": []}
CONTEXTS = (768, 1280)  # besides the configured one: a table of a few members alone takes 700 tokens
ARMS: dict[str, Arm] = {
    "start": Arm("the model before any training", {}, "none"),
    "joint": Arm("lead and subagents trained together, as configured", {}),
    "lead": Arm("the lead trained, subagents as at the start", {"roles": ["lead"]}),
    "sub": Arm("subagents trained, the lead as at the start", {"roles": ["sub"]}),
    "deep": Arm("trained on questions with a short answer only", {"data.deep": 1.0}),
    "hybrid": Arm("half tables, half short answers, as many questions", {"data.deep": 0.5}),
    **{
        f"single-{size}": Arm(
            f"a single agent with {size:,} tokens of context", {**SINGLE, "team.single.context_tokens": size}
        )
        for size in CONTEXTS
    },
    "single": Arm("a single agent instead of a team", SINGLE),
    "sft": Arm("control: supervised, the expert's demonstrations, for as many tokens", {}, "expert"),
    "best-of-n": Arm("control: supervised, the start's best rollout of each question", {}, "best"),
}
GROUPS = {
    "roles": ("joint", "lead", "sub"),
    "data": ("start", "joint", "deep", "hybrid"),
    "workflow": ("joint", "single"),
    "width": ("start", "joint"),
    "depth": (*(f"single-{size}" for size in CONTEXTS), "single"),
}
CONTROLS = ("sft", "best-of-n")
WIDTHS = (1, 2, 3, 5, 10)
SFT_TOKENS = 4096  # of one update of a control
MADE = "step-*.jsonl.gz"  # what a control learns from
POLL = 1.0  # seconds between two looks at the runs


def chosen_arms(names: Sequence[str], controls: bool) -> tuple[list[str], set[str]]:
    """The arms that `names` (arms and groups) stand for, in the order of `ARMS`, and the groups among them."""
    groups = {name for name in names if name in GROUPS}
    arms = {arm for name in names for arm in GROUPS.get(name, (name,))}
    if unknown := sorted(arms - ARMS.keys()):
        raise BadInput(f"--arms: {unknown[0]!r} is no arm ({', '.join(ARMS)}) and no group ({', '.join(GROUPS)})")
    if controls or arms & set(CONTROLS):
        arms |= {"joint", *(CONTROLS if controls else ())}  # whose questions and tokens a control has
    return [arm for arm in ARMS if arm in arms], groups


# ------------------------------------------------------------------------------------------------------- the study


@dataclass(frozen=True)
class Job:
    """One run to be made: an arm with its seed. `probes` are groups whose further measurements it gets."""

    arm: str
    config: MarlConfig
    study: Path
    probes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return run_name(self.arm, self.config.seed)


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
        for step, measured in _measurements(lines):
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


def _measurements(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Measured]]:
    """Steps at which the fixed questions were asked, and their item F1."""
    for line in lines:
        found = {name: line[key] for name in DECODINGS if (key := f"eval_{name}_item_f1") in line}
        if found:
            yield line["step"], found


# --------------------------------------------------------------------------------------------------------- one run


def run_job(job: Job) -> None:
    """Train where that is not done, measure what is missing, and write result.json."""
    from wideseek.evals.folder import write_whole

    _end_with_the_study()
    job.config.out.mkdir(parents=True, exist_ok=True)
    make = {"none": _untrained, "marl": _reinforced}.get(ARMS[job.arm].how, _supervised)
    run = read_run(job.config.out) or make(job)
    run.probes |= asyncio.run(_probed(job))
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
    measured = asyncio.run(_measured(job.config, job.config.model, job.config.out / "evals" / "start"))
    return Run(arm=job.arm, seed=job.config.seed, start=measured, final=measured, seconds=0.0)


def _reinforced(job: Job) -> Run:
    """The run of an arm that reinforcement learning trains, which measures before and after itself."""
    from wideseek.cli.training import run_training
    from wideseek.train.curve import smoothed
    from wideseek.train.log import read_metrics

    config = job.config
    if not _is_trained(config.out):
        run_training(config, resume=True, quiet=True)
    lines = read_metrics(config.out / "metrics.jsonl")
    curve, steps = list(_measurements(lines)), [line for line in lines if "reward" in line]
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
            "learnt": int(sum(line["computed_tokens"] for line in steps)),
        },
        figures=_last_figures(lines),
        curve=curve,
        reward=smoothed([(line["step"], line["reward"]) for line in steps]),
    )


def _is_trained(out: Path) -> bool:
    return (out / "model" / "config.json").exists()


LAST = 5  # steps
FIGURES = ("item_f1", "success", "format_ok", "answered", "subagents", "turns", "tokens_lead", "tokens_sub", "entropy")


def _last_figures(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the last steps' rollouts were like, and the other scores of the last evaluation."""
    steps = [line for line in lines if "reward" in line][-LAST:]
    known = {name: [line[name] for line in steps if line.get(name) is not None] for name in FIGURES}
    last = next(line for line in reversed(lines) if "eval_greedy_item_f1" in line or "eval_sampled_item_f1" in line)
    scores = {k.removeprefix("eval_"): v for k, v in last.items() if k.endswith(("_row_f1", "_success"))}
    return {**{f"train_{k}": sum(v) / len(v) for k, v in known.items() if v}, **scores}


def _supervised(job: Job) -> Run:
    """The run of a control: rollouts, then behaviour cloning for as many tokens as it may have."""
    from wideseek.train.log import read_metrics
    from wideseek.train.sft import run_sft

    config = job.config
    joint = read_run(job.study / run_name("joint", config.seed))
    if joint is None:
        raise BadInput(f"{job.name}: its size is that of {run_name('joint', config.seed)}, which has not ended")
    sampled, seconds = asyncio.run(_demonstrations(job))
    tokens = joint.tokens["learnt"] + (joint.tokens["sampled"] if ARMS[job.arm].how == "expert" else 0)
    if not _is_trained(config.out):
        run_sft(_sft_config(config, max(1, tokens // SFT_TOKENS)), resume=True, quiet=True)
    lines = read_metrics(config.out / "metrics.jsonl")
    return Run(
        arm=job.arm,
        seed=config.seed,
        start=joint.start,
        final=asyncio.run(_measured(config, str(config.out / "model"), config.out / "evals" / "final")),
        seconds=seconds + lines[-1]["seconds"],
        cpu_seconds=time.process_time(),
        steps=lines[-1]["step"],
        tokens={"sampled": sampled, "learnt": lines[-1]["step"] * SFT_TOKENS},
    )


def _sft_config(config: MarlConfig, steps: int) -> Any:
    from wideseek.train.model import model_folder
    from wideseek.train.settings import SftConfig

    return SftConfig.model_validate(
        {
            "model": model_folder(config.model),
            "out": config.out,
            "prompts": _prompts(config),
            "steps": steps,
            "tokens_per_step": SFT_TOKENS,
            "data": {"rollouts": [str(config.out / "demonstrations" / MADE)]},
            "optimizer": config.optimizer.model_dump(),
            "precision": config.precision,
            "device": config.device,
            "threads": config.threads,
            "tokens_per_pass": config.tokens_per_pass,
            "seed": config.seed,
        }
    )


def _prompts(config: MarlConfig) -> str:
    """The prompt profile of the team, `auto` settled."""
    from wideseek.assembly import settled
    from wideseek.train.loop import team_config
    from wideseek.train.model import model_folder

    return settled(team_config(config, model_folder(config.model))).prompts


# --------------------------------------------------------------------------------------------- what controls learn


async def _demonstrations(job: Job) -> tuple[int, float]:
    """Make the rollouts that a control learns from, a file per step of `joint`; tokens sampled and seconds for it."""
    from wideseek.concurrency import together
    from wideseek.files import draft_name
    from wideseek.journal import locked
    from wideseek.records import write_jsonl
    from wideseek.train.log import Log, read_metrics
    from wideseek.train.questions import Questions

    config, questions = job.config, Questions(job.config)
    place = config.out / "demonstrations"
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):
        made = len(list(place.glob(MADE)))
        log = Log(place, made)
        async with _demonstrator(job) as shown:
            for step in range(made, config.steps):
                numbers = range(step * config.questions, (step + 1) * config.questions)
                found = list(await together(shown(questions[number]) for number in numbers))
                file = place / f"step-{step:06d}.jsonl.gz"
                part = draft_name(file)
                write_jsonl(part, [rollout for rollouts, _ in found for rollout in rollouts])
                log.write(step + 1, sampled=sum(tokens for _, tokens in found), rollouts=sum(len(r) for r, _ in found))
                part.rename(file)
    log.close()
    lines = read_metrics(log.path)
    if not sum(line["rollouts"] for line in lines):
        raise BadInput(
            f"{job.name}: of {config.steps * config.questions} questions none had a rollout better than its others: "
            "more --set steps, questions or group give it something to learn from"
        )
    return int(sum(line["sampled"] for line in lines)), lines[-1]["seconds"]


@asynccontextmanager
async def _demonstrator(
    job: Job,
) -> AsyncIterator[Callable[[Question], Coroutine[Any, Any, tuple[list[Rollout], int]]]]:
    """Who shows how a question is answered: question -> rollouts to learn from, tokens that were sampled for them."""
    from wideseek.assembly import open_team
    from wideseek.budget import Budget
    from wideseek.cli.scores import judging
    from wideseek.journal import Journal
    from wideseek.policy.scripted import TEACHING, Expert
    from wideseek.train.groups import at_width, make_group, sampled_tokens
    from wideseek.train.loop import team_config
    from wideseek.train.model import model_folder

    config = job.config
    start = team_config(config, model_folder(config.model))
    expert = start.model_copy(update={"model": "expert", "sub_model": None, "prompts": _prompts(config)})
    who = expert if ARMS[job.arm].how == "expert" else start
    async with open_team(who, Journal(), Budget()) as team, judging(config.judge, config.team) as judge:

        async def taught(question: Question) -> tuple[list[Rollout], int]:
            asked = at_width(team, question.width, question.seed)
            asked.policies = dict.fromkeys(team.policies, Expert(TEACHING))
            rollout = await asked.solve(question.task, workflow=config.team.workflow)
            rollout.pages = {}
            return [rollout], 0

        async def best(question: Question) -> tuple[list[Rollout], int]:
            group = await make_group(question, team, config, judge)
            kept = best_of(group)
            for rollout in kept:
                rollout.pages = {}
            return kept, sampled_tokens([group])

        yield taught if ARMS[job.arm].how == "expert" else best


def best_of(group: Group) -> list[Rollout]:
    """The best rollout of a group, where it is better than the mean; nothing where all are alike."""
    pairs = zip(group.advantages, group.rollouts, strict=True)
    better = [(advantage, rollout) for advantage, rollout in pairs if advantage is not None and advantage > 0]
    return [max(better, key=lambda pair: pair[0])[1]] if better else []


# ------------------------------------------------------------------------------------------------------- measuring


def probes(job: Job) -> list[tuple[str, Literal["wide", "deep"], int]]:
    """What is measured besides: name, kind of the questions, width."""
    widest = job.config.eval.width or max(job.config.widths)
    found: list[tuple[str, Literal["wide", "deep"], int]] = []
    if "width" in job.probes:
        found += [(f"width {width}", "wide", width) for width in WIDTHS]
    if "data" in job.probes:
        found.append(("short answers", "deep", widest))
    return found


async def _probed(job: Job) -> dict[str, Measured]:
    place = job.config.out / "evals"
    model = job.config.model if ARMS[job.arm].how == "none" else str(job.config.out / "model")
    return {
        name: await _measured(job.config, model, place / name.replace(" ", "-"), kind, width)
        for name, kind, width in probes(job)
    }


async def _measured(
    config: MarlConfig,
    model: str,
    place: Path,
    kind: Literal["wide", "deep"] | None = None,
    width: int | None = None,
) -> Measured:
    """Item F1 (`em` of short answers) of a model on fixed questions, as a training measures it.

    PLACE-greedy and PLACE-sampled are run folders: what is there is not asked again.
    """
    from wideseek.assembly import open_team
    from wideseek.budget import Budget
    from wideseek.cli.training import evaluation
    from wideseek.journal import Journal
    from wideseek.train.groups import at_width
    from wideseek.train.loop import at_temperature, team_config
    from wideseek.train.model import model_folder
    from wideseek.train.questions import drawn, read_tasks

    wanted = kind or config.eval.kind
    tasks = [task for task in read_tasks(config.eval.tasks) if wanted in (None, task.kind)]
    chosen = drawn(tasks, config.eval.limit, 0)
    evaluate: Callable[[Sequence[Task], Team, Path], Awaitable[dict[str, float]]] = evaluation(config)
    measured: Measured = {}
    async with open_team(team_config(config, model_folder(model)), Journal(), Budget()) as team:
        for name in DECODINGS:
            asked = at_width(team, width or config.eval.width or max(config.widths), config.seed)
            if name == "greedy":
                asked.policies = at_temperature(team.policies, 0.0)
            found = await evaluate(chosen, asked, place.with_name(f"{place.name}-{name}"))
            measured[name] = found["em" if wanted == "deep" else "item_f1"]
    return measured
