"""The controls: trainings by imitation, of the questions that `joint` was asked with the same seed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wideseek.cli.ablation.arms import ARMS, Job
from wideseek.cli.ablation.measuring import measure
from wideseek.errors import BadInput
from wideseek.evals.ablation import LEARNING, Run, read_run, run_name

if TYPE_CHECKING:
    from wideseek.records import Rollout
    from wideseek.train.groups import Group
    from wideseek.train.questions import Question
    from wideseek.train.settings import MarlConfig

SFT_TOKENS = 4096  # of one update of a control
MADE = "step-*.jsonl.gz"  # what a control learns from
USED = ("sampled", "prefilled")  # tokens


def supervised(job: Job) -> Run:
    """The run of a control: rollouts, then behaviour cloning for as many tokens as it may have."""
    from wideseek.train.log import read_metrics
    from wideseek.train.sft import run_sft

    config = job.config
    joint = read_run(job.study / run_name("joint", config.seed))
    if joint is None:
        raise BadInput(f"{job.name}: its size is that of {run_name('joint', config.seed)}, which has not ended")
    used, seconds = asyncio.run(_demonstrations(job))
    if not is_trained(config.out):
        steps = max(1, learnt_tokens(job.arm, joint) // SFT_TOKENS)
        run_sft(_sft_config(config, steps), resume=True, quiet=True)
    lines = read_metrics(config.out / "metrics.jsonl")
    return Run(
        arm=job.arm,
        seed=config.seed,
        start=joint.start,
        final=asyncio.run(measure(config, str(config.out / "model"), config.out / "evals" / "final")),
        seconds=seconds + lines[-1]["seconds"],
        cpu_seconds=time.process_time(),
        steps=lines[-1]["step"],
        tokens={**used, "learnt": lines[-1]["step"] * SFT_TOKENS},
    )


def learnt_tokens(control: str, joint: Run) -> int:
    """How many tokens a control learns from, given the run of `joint` that it stands beside."""
    sizes = {
        "sft": joint.tokens["learnt"] + joint.tokens["sampled"],
        "sft-equal": joint.compute // LEARNING,
        "best-of-n": joint.tokens["learnt"],
    }
    return sizes[control]


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


async def _demonstrations(job: Job) -> tuple[dict[str, int], float]:
    """Make the rollouts that a control learns from, a file per step of `joint`; tokens and seconds for it."""
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
                used = {name: sum(tokens[name] for _, tokens in found) for name in USED}
                log.write(step + 1, **used, rollouts=sum(len(rollouts) for rollouts, _ in found))
                part.rename(file)
    log.close()
    lines = read_metrics(log.path)
    if not sum(line["rollouts"] for line in lines):
        raise BadInput(
            f"{job.name}: of {config.steps * config.questions} questions none had a rollout better than its others: "
            "more --set steps, questions or group give it something to learn from"
        )
    return {name: int(sum(line.get(name, 0) for line in lines)) for name in USED}, lines[-1]["seconds"]


@asynccontextmanager
async def _demonstrator(
    job: Job,
) -> AsyncIterator[Callable[[Question], Coroutine[Any, Any, tuple[list[Rollout], dict[str, int]]]]]:
    """Who shows how a question is answered: question -> rollouts to learn from, tokens of the start's for it."""
    from wideseek.assembly import open_team
    from wideseek.budget import Budget
    from wideseek.cli.scores import judging
    from wideseek.journal import Journal
    from wideseek.policy.scripted import TEACHING, Expert
    from wideseek.train.groups import at_width, make_group, prefilled_tokens, sampled_tokens
    from wideseek.train.loop import team_config
    from wideseek.train.model import model_folder

    config = job.config
    start = team_config(config, model_folder(config.model))
    expert = start.model_copy(update={"model": "expert", "sub_model": None, "prompts": _prompts(config)})
    who = expert if ARMS[job.arm].how == "expert" else start
    async with open_team(who, Journal(), Budget()) as team, judging(config.judge, config.team) as judge:

        async def taught(question: Question) -> tuple[list[Rollout], dict[str, int]]:
            asked = at_width(team, question.width, question.seed)
            asked.policies = dict.fromkeys(team.policies, Expert(TEACHING))
            rollout = await asked.solve(question.task, workflow=config.team.workflow)
            rollout.pages = {}
            return [rollout], dict.fromkeys(USED, 0)

        async def best(question: Question) -> tuple[list[Rollout], dict[str, int]]:
            group = await make_group(question, team, config, judge)
            kept = best_of(group)
            for rollout in kept:
                rollout.pages = {}
            return kept, {"sampled": sampled_tokens([group]), "prefilled": prefilled_tokens([group])}

        yield taught if ARMS[job.arm].how == "expert" else best


def best_of(group: Group) -> list[Rollout]:
    """The best rollout of a group, where it is better than the mean; nothing where all are alike."""
    pairs = zip(group.advantages, group.rollouts, strict=True)
    better = [(advantage, rollout) for advantage, rollout in pairs if advantage is not None and advantage > 0]
    return [max(better, key=lambda pair: pair[0])[1]] if better else []


def is_trained(out: Path) -> bool:
    return (out / "model" / "config.json").exists()
