"""`wideseek tasks`, `score`, `eval`, `compare`, `audit`: benchmarks, and how well they are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wideseek.cli.options import DEBUG, FOLDER, HEADER, INTERRUPTED, JSON, console, print_json, print_table, say
from wideseek.cli.trusting import TRUST, load_config, tell_keys
from wideseek.errors import BadInput

if TYPE_CHECKING:
    from wideseek.config import Config
    from wideseek.evals import EvalRun
    from wideseek.scoring.judge import Judge

_MODES = click.Choice(["strict", "official", "rlinf"])
_JUDGE = click.option("--judge", default="exact", show_default=True, help="exact (no model), or a model's name.")
_TODAY = click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="The day that partial dates are read against.")
_DATA = click.option("--data", type=FOLDER, envvar="WIDESEEK_BENCHES", help="Folder of benchmark data.")


@click.command(short_help="Print tasks with their gold answers, as JSON lines.")
@click.argument("bench")
@click.option("--split", help="train, dev or test.  [default: all]")
@click.option("--kind", type=click.Choice(["wide", "deep"]), help="Tables, or short answers.  [default: both]")
@click.option("--limit", "-n", type=click.IntRange(1), help="At most so many.")
@_DATA
@DEBUG
def tasks(bench: str, split: str | None, kind: Any, limit: int | None, data: Path | None) -> None:
    """Print the tasks of BENCH with their gold answers, as JSON lines.

    BENCH is "pocket" (the bundled world), another benchmark whose data is in --data, or a .jsonl[.gz] file of tasks.
    """
    from wideseek.evals.benchmarks import load_bench

    for task in load_bench(bench, split, limit, kind=kind, data=data):
        print_json(task)


@click.command(short_help="Score responses, or saved rollouts, against gold.")
@click.argument("responses", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--tasks", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Tasks with gold.")
@click.option("--mode", type=_MODES, default="strict", show_default=True, help="Whose rules (docs/scoring.md).")
@_JUDGE
@HEADER
@_TODAY
@TRUST
@JSON
@DEBUG
def score(
    responses: Path,
    tasks: Path | None,
    mode: Any,
    judge: str,
    headers: tuple[str, ...],
    today: datetime | None,
    trust: bool,
    as_json: bool,
) -> int:
    """Score RESPONSES: a line {"instance_id", "response"} each, or saved rollouts, which bring their tasks.

    Exit code: 0 every task of --tasks has a response, 3 some have none; the means are over the responses.
    """
    from wideseek.api import EXIT_CODES, run
    from wideseek.config import read_headers
    from wideseek.scoring.files import score_files
    from wideseek.table import Table

    day = today.date() if today else None
    settled = load_config(None, read_headers(headers), trust=trust)
    tell_keys(settled, judge)

    async def job() -> dict[str, Any]:
        async with judging(judge, settled) as judged:
            return await score_files(responses, tasks, mode=mode, judge=judged, today=day)

    scored = run(job())
    if as_json:
        print_json(scored)
    else:
        print_table(Table(["figure", "value"], [[name, _shown(value)] for name, value in scored["summary"].items()]))
        if names := scored["unanswered"]:
            more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
            say(f"note: tasks without a response: {', '.join(names[:5])}{more}")
    return EXIT_CODES["partial" if scored["unanswered"] else "complete"]


@click.command("eval", short_help="Evaluate a model on a benchmark.")
@click.argument("bench")
@click.option("--model", "-m", help="openai/NAME, http://HOST:PORT/v1#NAME, local/FOLDER, expert.  [default: nano]")
@click.option("--sub-model", help="A different model for the subagents.")
@click.option("--split", help="train, dev or test.")
@click.option("--kind", type=click.Choice(["wide", "deep"]), help="Tables, or short answers.  [default: both]")
@click.option("--limit", "-n", type=click.IntRange(1), help="At most so many tasks.")
@click.option("--trials", type=click.IntRange(1), default=1, show_default=True, help="Attempts at each task.")
@click.option("--workflow", type=click.Choice(["team", "single"]), help="A lead with subagents, or one agent.")
@click.option("--width", type=click.IntRange(1), help="Subagents that may run in one round.  [default: 10]")
@click.option("--temperature", type=click.FloatRange(0), help="Sampling temperature.  [default: the server's]")
@click.option("--corpus", type=FOLDER, help="An index made by `wideseek index`.  [default: the bundled pocket world]")
@click.option("--prompts", help="Prompt profile: default, wideseek-r1, nano, or a folder.  [default: the model's own]")
@click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Attempts at one time.")
@click.option("--max-tokens", type=click.IntRange(1), help="End the whole run after so many tokens,")
@click.option("--max-usd", type=click.FloatRange(0, min_open=True), help="... US dollars (list prices, or your own),")
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="... seconds,")
@click.option("--max-calls", type=click.IntRange(1), help="... model calls.")
@_JUDGE
@_TODAY
@_DATA
@click.option("--out", "-o", type=FOLDER, help="Run folder; the same again goes on.  [default: a new one under runs/]")
@click.option("--config", type=FOLDER, help="A TOML file.  [default: wideseek.toml here, if there]")
@HEADER
@click.option("--set", "settings", multiple=True, help="Any key of `wideseek config`: --set sub.max_turns=8.")
@TRUST
@JSON
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@DEBUG
def evaluate(
    bench: str,
    split: str | None,
    kind: Any,
    limit: int | None,
    trials: int,
    concurrency: int,
    judge: str,
    today: datetime | None,
    data: Path | None,
    out: Path | None,
    config: Path | None,
    headers: tuple[str, ...],
    settings: tuple[str, ...],
    trust: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Evaluate a model on BENCH: every task so many times, scored, with confidence intervals.

    BENCH is "pocket" (the bundled world), another benchmark whose data is in --data, or a .jsonl[.gz] file of tasks.
    Every call is journalled in the run folder: killed or interrupted, the same command with the same --out goes on.
    Exit code: 0 every attempt is scored, 3 some are not (a budget, an outage, Ctrl-C: 130).
    """
    import asyncio

    from wideseek.api import EXIT_CODES, run
    from wideseek.evals.metrics import summary_table
    from wideseek.evals.run import evaluate_bench

    settled = _config(config, options, settings, headers, trust)
    tell_keys(settled, settled.model, settled.sub_model, judge)
    folder = out or _new_folder(bench)

    async def job(watch: Any) -> EvalRun:
        async with judging(judge, settled) as judged:
            return await evaluate_bench(
                bench,
                settled,
                folder,
                split=split,
                limit=limit,
                kind=kind,
                data=data,
                trials=trials,
                concurrency=concurrency,
                judge=judged,
                today=today.date() if today else None,
                watch=watch,
                handle_signals=True,
            )

    try:
        with _progress(quiet or as_json) as watch:
            summary = run(job(watch)).summary
    except asyncio.CancelledError:
        say("interrupted; the same command with the same --out goes on", err=True)
        return INTERRUPTED
    assert summary is not None  # an evaluation that returns has written it
    if as_json:
        print_json(summary)
    else:
        print_table(summary_table(summary))
        for note in (*summary.problems, *summary.notes):
            say(f"note: {note}")
    say(f"run: {folder}", err=True)
    return EXIT_CODES[summary.status]


@click.command(short_help="Compare two evaluation runs task by task.")
@click.argument("run_a", type=FOLDER)
@click.argument("run_b", type=FOLDER)
@click.option("--resamples", type=click.IntRange(100), default=10_000, show_default=True)
@JSON
@DEBUG
def compare(run_a: Path, run_b: Path, resamples: int, as_json: bool) -> None:
    """Compare RUN_A and RUN_B over the tasks that both have: paired bootstrap and permutation test, Holm-corrected."""
    from wideseek.evals import load_run
    from wideseek.evals.compare import compare as compared

    comparison = compared(load_run(run_a), load_run(run_b), resamples=resamples)
    if as_json:
        print_json(comparison)
    else:
        print_table(comparison.as_table())


@click.command(short_help="Find train tasks that overlap a benchmark's.")
@click.argument("tasks")
@click.option("--against", required=True, help="A benchmark, or a .jsonl[.gz] file of its tasks.")
@click.option("--ngram", type=click.IntRange(1), default=8, show_default=True, help="Words in a sequence.")
@click.option("--question-share", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--key-share", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@_DATA
@JSON
@DEBUG
def audit(
    tasks: str,
    against: str,
    ngram: int,
    question_share: float,
    key_share: float,
    data: Path | None,
    as_json: bool,
) -> int:
    """List those of TASKS whose question or gold overlaps a benchmark's. Exit code 1 if there are any."""
    from wideseek.evals.audit import audit as audited
    from wideseek.evals.benchmarks import load_bench

    found = audited(
        load_bench(tasks, data=data),
        load_bench(against, data=data),
        ngram=ngram,
        question_share=question_share,
        key_share=key_share,
    )
    if as_json:
        print_json(found)
    elif found.overlaps:
        print_table(found.as_table())
    else:
        say(f"no overlap among {found.checked:,} tasks and {found.against:,} of the benchmark")
    return 1 if found.overlaps else 0


def _config(
    config: Path | None, options: dict[str, Any], settings: tuple[str, ...], headers: tuple[str, ...], trust: bool
) -> Config:
    from wideseek.api import SHORT_NAMES
    from wideseek.config import read_headers, read_overrides

    given = {SHORT_NAMES.get(name, name): value for name, value in options.items() if value is not None}
    return load_config(config, given | read_overrides(settings) | read_headers(headers), trust=trust)


@asynccontextmanager
async def judging(name: str, config: Config) -> AsyncIterator[Judge]:
    """The judge that users call `name`: `exact`, or a model at temperature 0 with its verdicts kept on disk."""
    if name == "exact":
        from wideseek.scoring.judge import ExactJudge

        yield ExactJudge()
        return
    if name == "expert":
        raise BadInput("judge expert: the scripted expert judges nothing: choose exact, or a language model")
    from platformdirs import user_cache_path

    from wideseek.assembly import open_policy
    from wideseek.scoring.llm_judge import LLMJudge

    greedy = config.model_copy(update={"sampling": config.sampling.model_copy(update={"temperature": 0.0})})
    policy = open_policy(name, greedy)
    try:
        yield LLMJudge(policy, user_cache_path("wideseek") / "judge")
    finally:
        await policy.close()


def _progress(quiet: bool) -> Any:
    """A context manager that gives the function to call when an attempt has ended, or `None`."""
    import contextlib

    from wideseek.evals.progress import Bar, Lines

    if quiet:
        return contextlib.nullcontext()
    terminal = console()
    shown = Bar(terminal) if terminal.is_terminal else Lines(terminal)

    @contextlib.contextmanager
    def watching() -> Any:
        with shown:
            yield shown.watch

    return watching()


def _new_folder(bench: str) -> Path:
    import re
    import time

    name = re.sub(r"\W+", "-", Path(bench).name.split(".")[0])
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
