"""`wideseek report` and `wideseek study`: what evaluations look like, and how width compares with depth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wideseek.cli.options import DEBUG, FOLDER, JSON, print_json
from wideseek.errors import BadInput

if TYPE_CHECKING:
    from wideseek.evals.study import Study


@click.command(short_help="Write one HTML page about an evaluation, or about a study.")
@click.argument("folder", type=FOLDER)
@DEBUG
def report(folder: Path) -> None:
    """Write one self-contained HTML page about the evaluation run, or the study, in FOLDER.

    Figures with their intervals, plots, every task with gold against answer cell by cell, and every agent's turns.
    """
    if (folder / "study.json").is_file():
        from wideseek.evals.study import load_study, write_study

        for path in write_study(load_study(folder)):
            click.echo(path)
        return
    from wideseek.evals.report import write_report

    click.echo(write_report(folder))


@click.command(short_help="Item F1 against width (subagents) or depth (turns, context).")
@click.argument("kind", type=click.Choice(["width", "depth"]))
@click.option("--values", default="1,2,3,5,10", show_default=True, help="width: subagents in one round.")
@click.option("--turns", default="", help="depth: turns of the single agent, such as 5,10,20.")
@click.option("--context", default="", help="depth: tokens of its context, such as 4000,16000.")
@click.option("--turn-limit", type=click.IntRange(1), help="Turns of every agent, in both arms.")
@click.option("--context-limit", type=click.IntRange(512), help="Tokens of every agent's context, in both arms.")
@click.option("--bench", default="pocket", show_default=True, help="As of `wideseek eval`.")
@click.option("--split", default="test", show_default=True)
@click.option("--limit", "-n", type=click.IntRange(1), help="At most so many tasks.")
@click.option("--trials", type=click.IntRange(1), default=1, show_default=True, help="Attempts at each task.")
@click.option("--model", "-m", help="openai/NAME, http://HOST:PORT/v1#NAME, local/FOLDER, expert.  [default: nano]")
@click.option("--sub-model", help="A different model for the subagents.")
@click.option("--data", type=FOLDER, envvar="WIDESEEK_BENCHES", help="Folder of benchmark data.")
@click.option("--out", "-o", type=FOLDER, required=True, help="Folder of the study; both kinds may share one.")
@click.option("--config", type=FOLDER, help="A TOML file.  [default: wideseek.toml here, if there]")
@click.option("--set", "settings", multiple=True, help="Any key of `wideseek config`: --set sub.max_turns=8.")
@JSON
@DEBUG
def study(
    kind: str,
    values: str,
    turns: str,
    context: str,
    turn_limit: int | None,
    context_limit: int | None,
    bench: str,
    split: str,
    limit: int | None,
    trials: int,
    data: Path | None,
    out: Path,
    config: Path | None,
    settings: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Evaluate a model at several widths (a team) or depths (a single agent), and draw the curves.

    Every agent has the same limits in both arms. Each point is an evaluation of its own: the same command again goes on
    where it stopped, and more values are added to what is there. Writes CSV, PNG and one HTML page into --out.
    """
    from wideseek.api import run
    from wideseek.config import Config, read_overrides
    from wideseek.evals.run import evaluate_bench
    from wideseek.evals.study import points_table, study_depth, study_width, write_study

    given = {name: value for name, value in options.items() if value is not None}
    settled = Config.load(config, given | read_overrides(settings))
    limits: dict[str, Any] = {"turn_limit": turn_limit, "context_limit": context_limit}

    async def evaluate(point: Config, folder: Path) -> Any:
        return await evaluate_bench(
            bench, point, folder, split=split, limit=limit, kind="wide", data=data, trials=trials, handle_signals=True
        )

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    async def job() -> Study:
        if kind == "width":
            return await study_width(_numbers(values), settled, out, evaluate=evaluate, tell=tell, **limits)
        return await study_depth(
            _numbers(turns), _numbers(context), settled, out, evaluate=evaluate, tell=tell, **limits
        )

    done = run(job())
    written = write_study(done)
    if as_json:
        print_json(points_table(done))
    else:
        for path in written:
            click.echo(path)
    return 0 if done.complete else 3


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise BadInput(f"{text!r}: write whole numbers with commas between them, such as 1,2,5") from error
