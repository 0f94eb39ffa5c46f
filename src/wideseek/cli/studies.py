"""`wideseek report` and `wideseek study`: what evaluations look like, width against depth, ablations of a training."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wideseek.cli.options import DEBUG, FOLDER, HEADER, INTERRUPTED, JSON, print_json, say
from wideseek.cli.trusting import TRUST, load_config, tell_keys
from wideseek.errors import BadInput, BudgetEnded

if TYPE_CHECKING:
    from wideseek.config import Config
    from wideseek.evals.study import Study
    from wideseek.train.settings import MarlConfig


@click.command(short_help="Write one HTML page about an evaluation, or about a study.")
@click.argument("folder", type=FOLDER)
@DEBUG
def report(folder: Path) -> None:
    """Write one self-contained HTML page about the evaluation run, or the study, in FOLDER.

    Figures with their intervals, plots, every task with gold against answer cell by cell, and every agent's turns.
    """
    if (folder / "ablation.json").is_file():
        from wideseek.evals.ablation import load_ablation, write_ablation

        for path in write_ablation(load_ablation(folder)):
            say(path)
        return
    if (folder / "study.json").is_file():
        from wideseek.evals.study import load_study
        from wideseek.evals.study_page import write_study

        for path in write_study(load_study(folder)):
            say(path)
        return
    from wideseek.evals.report import write_report

    say(write_report(folder))


@click.group(short_help="Width against depth; ablations of a training.")
def study() -> None:
    """Many evaluations, or trainings, as one figure: each point is a folder of its own, and is not made again."""


def _study_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that width and depth share."""
    options = (
        click.option("--turn-limit", type=click.IntRange(1), help="Turns of every agent, in both arms."),
        click.option("--context-limit", type=click.IntRange(512), help="Context tokens of every agent, in both arms."),
        click.option("--bench", default="pocket", show_default=True, help="As of `wideseek eval`."),
        click.option("--split", default="test", show_default=True),
        click.option("--limit", "-n", type=click.IntRange(1), help="At most so many tasks."),
        click.option("--trials", type=click.IntRange(1), default=1, show_default=True, help="Attempts at each task."),
        click.option(
            "--model", "-m", help="openai/NAME, http://HOST:PORT/v1#NAME, local/FOLDER, expert.  [default: nano]"
        ),
        click.option("--sub-model", help="A different model for the subagents."),
        click.option("--data", type=FOLDER, envvar="WIDESEEK_BENCHES", help="Folder of benchmark data."),
        click.option("--out", "-o", type=FOLDER, required=True, help="Folder of the study; both kinds may share one."),
        click.option("--config", type=FOLDER, help="A TOML file.  [default: wideseek.toml here, if there]"),
        HEADER,
        click.option("--set", "settings", multiple=True, help="Any key of `wideseek config`: --set sub.max_turns=8."),
        TRUST,
        JSON,
        DEBUG,
    )
    for option in reversed(options):
        command = option(command)
    return command


@study.command(short_help="Item F1 of a team against its subagents.")
@click.option("--values", default="1,2,3,5,10", show_default=True, help="Subagents in one round.")
@_study_options
def width(values: str, **options: Any) -> int:
    """Evaluate a team at several widths (subagents that may be started in one round), and draw the curve.

    Every agent has the same limits at each. Each point is an evaluation of its own: the same command again goes on
    where it stopped, and more values are added to what is there. Writes CSV, PNG and one HTML page into --out.
    """
    return _study(partial(_study_width, _numbers(values)), **options)


@study.command(short_help="Item F1 of a single agent against turns or context.")
@click.option("--turns", default="", help="Turns of the single agent, such as 5,10,20.")
@click.option("--context", default="", help="Tokens of its context, such as 4000,16000.")
@_study_options
def depth(turns: str, context: str, **options: Any) -> int:
    """Evaluate a single agent at several limits of turns or context, and draw the curves.

    In the --out of `wideseek study width`, one page shows both, compared at equal cost. The same command again goes on
    where it stopped, and more values are added to what is there. Writes CSV, PNG and one HTML page into --out.
    """
    return _study(partial(_study_depth, _numbers(turns), _numbers(context)), **options)


@study.command(short_help="Train without each part of reinforcement learning, beside controls.")
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--arms", default="roles", show_default=True, help="Arms or groups, commas between; see above.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Runs of each arm.")
@click.option("--jobs", "-j", type=click.IntRange(1), default=1, show_default=True, help="Runs side by side.")
@click.option("--controls/--no-controls", default=True, show_default=True, help="Whether the controls run too.")
@click.option("--set", "settings", multiple=True, help="Any key of the configuration, for all arms: --set steps=20.")
@click.option("--out", "-o", type=FOLDER, required=True, help="Folder of the study; more arms may be added later.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@JSON
@DEBUG
def ablation(
    config: Path,
    arms: str,
    seeds: int,
    jobs: int,
    controls: bool,
    settings: tuple[str, ...],
    out: Path,
    quiet: bool,
    as_json: bool,
) -> int:
    """Train as CONFIG (kind = "marl") says, once per arm and seed, and compare item F1 on the fixed questions.

    \b
    roles     joint, lead (subagents stay as they were), sub (the lead does)
    data      joint (tables), deep (short answers), hybrid (half of each), the start: as many questions
    workflow  joint, single (one agent instead of a team)
    width     joint and the start, both asked at widths 1, 2, 3, 5 and 10
    depth     single-768, single-1280, single: one agent, trained and asked at that context
    all       all of these

    Three controls stand beside them: sft (the expert's demonstrations of the same questions, for as many tokens as
    joint sampled and learnt from), sft-equal (the same, for as much compute as joint took) and best-of-n (the start's
    best rollouts of the same questions, learnt from). The same command again goes on where it stopped. Writes
    summary.json, CSV, PNG and one HTML page into --out.
    """
    from wideseek.cli.ablation.arms import GROUPS, chosen_arms
    from wideseek.cli.ablation.study import run_ablation
    from wideseek.config import read_overrides
    from wideseek.evals.ablation import load_ablation, read_plan, summary, write_ablation

    names = [name.strip() for name in arms.split(",") if name.strip()]
    chosen, groups = chosen_arms([*GROUPS] if names == ["all"] else names, controls)
    given = read_overrides(settings)
    try:
        run_ablation(lambda more: _marl(config, {**given, **more}), chosen, groups, seeds, out, jobs=jobs, quiet=quiet)
    except (BudgetEnded, KeyboardInterrupt) as ending:
        say(str(ending) or "interrupted; the same command goes on", err=True)
        if read_plan(out) and (so_far := load_ablation(out)).runs:
            write_ablation(so_far)
        raise click.exceptions.Exit(INTERRUPTED) from None
    done = load_ablation(out)
    written = write_ablation(done)
    if as_json:
        print_json(summary(done))
    else:
        for path in written:
            say(path)
    return 3 if done.missing else 0


def _marl(path: Path, overrides: dict[str, Any]) -> MarlConfig:
    from wideseek.train.settings import MarlConfig, load_settings

    found = load_settings(path, overrides)
    if not isinstance(found, MarlConfig):
        raise BadInput(f"{path}: kind = {found.kind!r}: an ablation is of reinforcement learning, kind = 'marl'")
    return found


async def _study_width(values: list[int], *rest: Any, **more: Any) -> Study:
    from wideseek.evals.study import study_width

    return await study_width(values, *rest, **more)


async def _study_depth(turns: list[int], context: list[int], *rest: Any, **more: Any) -> Study:
    from wideseek.evals.study import study_depth

    return await study_depth(turns, context, *rest, **more)


def _study(
    make: Callable[..., Awaitable[Study]],
    *,
    turn_limit: int | None,
    context_limit: int | None,
    bench: str,
    split: str,
    limit: int | None,
    trials: int,
    data: Path | None,
    out: Path,
    config: Path | None,
    headers: tuple[str, ...],
    settings: tuple[str, ...],
    trust: bool,
    as_json: bool,
    **options: Any,
) -> int:
    from wideseek.api import run
    from wideseek.config import read_headers, read_overrides
    from wideseek.evals.run import evaluate_bench
    from wideseek.evals.study_page import points_table, write_study

    given = {name: value for name, value in options.items() if value is not None}
    settled = load_config(config, given | read_overrides(settings) | read_headers(headers), trust=trust)
    tell_keys(settled, settled.model, settled.sub_model)

    async def evaluate(point: Config, folder: Path) -> Any:
        return await evaluate_bench(
            bench, point, folder, split=split, limit=limit, kind="wide", data=data, trials=trials, handle_signals=True
        )

    def tell(line: str) -> None:
        say(line, err=True)

    async def job() -> Study:
        limits = {"turn_limit": turn_limit, "context_limit": context_limit}
        return await make(settled, out, evaluate=evaluate, tell=tell, **limits)

    done = run(job())
    written = write_study(done)
    if as_json:
        print_json(points_table(done))
    else:
        for path in written:
            say(path)
    return 0 if done.complete else 3


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise BadInput(f"{text!r}: write whole numbers with commas between them, such as 1,2,5") from error
