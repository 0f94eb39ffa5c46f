"""`wideseek train`: from a configuration to trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import click
import msgspec

from wideseek.cli.options import DEBUG, FOLDER, HEADER, INTERRUPTED, JSON, print_json, say
from wideseek.cli.trusting import tell_keys
from wideseek.errors import BadInput, BudgetEnded

if TYPE_CHECKING:
    from wideseek.records import Task
    from wideseek.team import Team
    from wideseek.train.groups import Group
    from wideseek.train.loop import Evaluate
    from wideseek.train.settings import MarlConfig, SftConfig


@click.command(short_help="Train a model from a TOML configuration.")
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@HEADER
@click.option("--set", "settings", multiple=True, help="Any key of the configuration: --set steps=500.")
@click.option("--out", "-o", type=FOLDER, help="Folder of the training, if not the configuration's.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in that folder.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@JSON
@DEBUG
def train(
    config: Path,
    headers: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path | None,
    resume: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train as the TOML file CONFIG says, and print the folder of the trained model.

    kind = "sft" clones behaviour from saved rollouts: of the scripted expert, of a large model, of earlier training.
    kind = "marl" trains the lead and the subagents together by reinforcement learning, on tasks with gold answers.
    The folder of a training holds metrics.jsonl, TensorBoard files, checkpoints, and at the end model/, which plain
    transformers loads. After Ctrl-C or a kill, the same command with --resume goes on.
    """
    from wideseek.config import read_headers, read_overrides
    from wideseek.train.log import read_metrics
    from wideseek.train.settings import load_settings

    given = {**read_overrides(settings), **read_headers(headers, "team.chat.headers")}
    chosen = load_settings(config, {**given, **({"out": str(out)} if out else {})})
    try:
        model = run_training(chosen, resume=resume, quiet=quiet or as_json)
    except BudgetEnded as ending:
        say(ending, err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except KeyboardInterrupt:  # while models or rollouts were read, or a second time
        say("interrupted; go on with the same command and --resume", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    if as_json:
        lines = read_metrics(chosen.out / "metrics.jsonl")
        measured = [line for line in lines if any(key.startswith(("held_out_", "eval_")) for key in line)]
        print_json({"model": str(model), **(measured[-1] if measured else {})})
    else:
        say(model)


def run_training(config: SftConfig | MarlConfig, *, resume: bool, quiet: bool) -> Path:
    """Train as configured, evaluations as `wideseek eval` makes them; the trained model's folder."""
    try:
        if config.kind == "sft":
            from wideseek.train.sft import run_sft

            return run_sft(config, resume=resume, quiet=quiet)
        from wideseek.train.loop import run_marl
    except ImportError as error:
        raise BadInput(f"training needs {error.name or 'torch'}: pip install 'wideseek[train]'") from error
    from wideseek.cli.scores import judging

    tell_keys(config.team, config.judge)
    return run_marl(
        config,
        resume=resume,
        quiet=quiet,
        evaluate=evaluation(config),
        record=_record if config.save_rollouts else None,
        judging=lambda: judging(config.judge, config.team),
    )


def evaluation(config: MarlConfig) -> Evaluate:
    """How the training's fixed questions are evaluated: as `wideseek eval` does, into a run folder."""
    from wideseek.cli.scores import judging
    from wideseek.evals.run import evaluate, make_setup
    from wideseek.train.loop import team_config
    from wideseek.train.model import model_folder

    async def run(tasks: Sequence[Task], team: Team, folder: Path) -> dict[str, float]:
        who = team_config(config, model_folder(config.model))
        async with judging(config.judge, config.team) as judge:
            setup = make_setup(", ".join(config.eval.tasks), who, judge=judge)
            setup.modes, setup.width = ["strict"], team.roles["lead"].max_calls
            summary = (await evaluate(tasks, team, folder, setup, judge=judge, concurrency=len(tasks))).summary
        assert summary is not None
        metrics = {name: getattr(summary, name) for name in ("item_f1", "row_f1", "success", "em")}
        return {name: metric.avg for name, metric in metrics.items() if metric is not None}

    return run


def _record(groups: Sequence[Group], team: Team, folder: Path) -> None:
    """A step's rollouts as the run folder of an evaluation; of a question that was asked twice the first group."""
    from wideseek.evals.folder import RunFolder
    from wideseek.evals.metrics import measure, summarise
    from wideseek.evals.records import Attempt, Outcome, Setup

    once = {group.question.task.instance_id or f"question {group.question.number}": group for group in reversed(groups)}
    tasks = [msgspec.structs.replace(group.question.task, instance_id=name) for name, group in once.items()]
    setup = Setup(bench="training", trials=len(groups[0].rollouts), workflow=groups[0].rollouts[0].workflow)
    setup.model, setup.width = team.policies["lead"].name, max(group.question.width for group in groups)
    rewards = [reward.value for group in groups for reward in group.rewards if reward.value is not None]
    step = int(folder.name.removeprefix("step-")) + 1
    setup.notes = [f"What step {step} learnt from: {len(rewards)} rewards, {fmean(rewards):.3f} on average."]
    with RunFolder(folder, setup, tasks) as run:
        for task, group in zip(tasks, once.values(), strict=True):
            for rollout, score in zip(group.rollouts, group.scores, strict=True):
                outcome: Outcome = "policy" if rollout.error else "judge" if score.unscored else "scored"
                attempt = Attempt(
                    instance_id=task.instance_id,
                    trial=rollout.trial,
                    language=task.language or "en",
                    kind=task.kind or "wide",
                    outcome=outcome,
                    problem=score.unscored or "",
                    scores={} if score.unscored else {"strict": score.parts},
                    spent=rollout.usage,
                    judge_usage=score.judge,
                )
                measure(attempt, rollout, team.profile, team.roles, timed=True)
                run.save_rollout(msgspec.structs.replace(rollout, task=task))
                run.save_attempt(attempt, {} if score.unscored else {"strict": score})
        run.save_summary(summarise(setup, tasks, list(run.attempts.values()), interrupted=False))
