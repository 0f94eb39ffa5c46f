"""The command line: one function per command. Heavy imports stay inside the functions, so that `--help` is instant.

Exit codes: 0 complete · 1 failed · 2 usage or bad input · 3 partial (a budget ended it) · 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from wideseek.errors import BadInput, WideseekError

if TYPE_CHECKING:
    from wideseek.ask import Result, RunRequest

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="wideseek",
    help="A broad question becomes one audited table: a lead agent splits it, parallel subagents search and read.",
    epilog='Start with: wideseek ask "Which chemical elements are noble gases? Give symbol and atomic number."',
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]


def main() -> None:
    """Run the command line; errors are one line on stderr."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Abort:
        code = INTERRUPTED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "wideseek"
        print(f"{where}: {' '.join(error.format_message().split())}  (see {where} --help)", file=sys.stderr)
        code = BAD_INPUT
    except WideseekError as error:
        if "--debug" in sys.argv:
            raise
        print(f"wideseek: {error}", file=sys.stderr)
        code = BAD_INPUT
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        sys.stderr.close()
        code = FAILED
    sys.exit(code or 0)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("wideseek"))
        raise typer.Exit


@app.callback()
def _wideseek(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(short_help="Answer a broad question with one table, every cell traced to a page.")
def ask(
    question: Annotated[
        str | None, typer.Argument(help="What you want to know; - reads it from standard input.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="openai/NAME, ollama/NAME, http://HOST:PORT/v1#NAME, or expert (scripted, for the bundled world).",
        ),
    ] = None,
    sub_model: Annotated[str | None, typer.Option(help="A different model for the subagents.")] = None,
    width: Annotated[
        int | None, typer.Option(min=1, help="Subagents that may run in one round.  [default: 10]")
    ] = None,
    workflow: Annotated[
        str | None,
        typer.Option(
            click_type=click.Choice(["team", "single"]),
            help="team: a lead with subagents; single: one agent.  [default: team]",
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Folder of an index made by `wideseek index`.  [default: the bundled pocket world]"),
    ] = None,
    prompts: Annotated[
        str | None, typer.Option(help="Prompt profile: default, wideseek-r1, nano, or a folder of your own.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help='Columns that the table must have: "Name,Year,Country".')] = None,
    key: Annotated[str | None, typer.Option(help="The columns that tell rows apart.  [default: the first]")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write the table here: .md, .csv, .json, .xlsx or .html.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object: columns, rows, evidence, usage, stop, run_dir ...")
    ] = False,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="End with what there is after so many tokens.")] = None,
    max_usd: Annotated[float | None, typer.Option(help="... after so many US dollars (prices are configured).")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="... after so many seconds.")] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="... after so many model calls.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Sampling temperature.  [default: the server's]")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Folder for the journal and the result.  [default: a new one in your user data]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder; nothing that is done is done again.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file.  [default: wideseek.toml here, if there]")] = None,
    set: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any configuration key: --set sub.max_turns=8 (see `wideseek config`)."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    debug: Debug = False,
) -> int:
    """Answer a broad question with one table, every cell traced to a page.

    A lead agent splits the question; subagents search and read in parallel; the lead writes the table. Ctrl-C ends it
    with what there is. Exit code: 0 complete, 1 failed, 2 bad input, 3 partial (a budget ended it), 130 interrupted.
    """
    from wideseek.ask import EXIT_CODES
    from wideseek.config import read_overrides
    from wideseek.export import check_output, write_result

    overrides: dict[str, Any] = {
        "model": model,
        "sub_model": sub_model,
        "workflow": workflow,
        "corpus": corpus,
        "prompts": prompts,
        "lead.max_calls": width,
        "sampling.temperature": temperature,
        "budget.tokens": max_tokens,
        "budget.usd": max_usd,
        "budget.seconds": max_seconds,
        "budget.calls": max_calls,
        **read_overrides(set or []),
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    if out:
        check_output(out)
    if resume and run_dir and resume != run_dir:
        raise BadInput("--resume and --run-dir name different folders: --resume alone is enough")
    request = _request(question, resume, columns, key, config, given)
    result = _run(request, resume or run_dir or _new_run_dir(request.question), quiet=quiet or json)
    _print(result, json)
    if out:
        print(f"written: {', '.join(map(str, write_result(result, out)))}", file=sys.stderr)
    return EXIT_CODES[result.status]


def _request(
    question: str | None,
    resume: Path | None,
    columns: str | None,
    key: str | None,
    config: Path | None,
    given: dict[str, Any],
) -> RunRequest:
    """What to run: a new question, or what `resume` was asked, with the options given now on top."""
    from wideseek.ask import load_request, make_request
    from wideseek.config import Config

    if question == "-":
        question = sys.stdin.read()
    if resume is None:
        if question is None:
            raise BadInput('a question is missing: wideseek ask "..." (or --resume FOLDER)')
        return make_request(question, columns=columns, key=key, config=Config.load(config, given))
    before = load_request(resume)
    if question is not None and question.strip() != before.question:
        raise BadInput(
            f"{resume}: was asked something else ({before.question[:60]!r}): leave the question out, or --run-dir"
        )
    if columns or key or config:
        raise BadInput(f"{resume}: a resumed run keeps its columns, key and config: leave those options out")
    merged = Config.merged(before.config, given)
    return make_request(before.question, columns=before.columns or None, key=before.key or None, config=merged)


def _run(request: RunRequest, folder: Path, *, quiet: bool) -> Result:
    """Run with progress on stderr. The first Ctrl-C ends the run gracefully, the second at once."""
    import asyncio
    import contextlib
    import signal

    from rich.console import Console

    from wideseek.ask import Watch, answer, run
    from wideseek.terminal import LiveTree, PlainLines

    console = Console(stderr=True)
    progress: Any = (
        contextlib.nullcontext() if quiet else LiveTree(console) if console.is_terminal else PlainLines(console)
    )

    async def job() -> Result:
        task = asyncio.current_task()
        assert task is not None
        watched: list[Watch] = []

        def watch(running: Watch) -> None:
            watched.append(running)
            if not quiet:
                progress.watch(running)

        def interrupt() -> None:
            if watched and not watched[0].budget.interrupted:
                watched[0].budget.interrupt()
            else:
                task.cancel()

        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, interrupt)
        return await answer(request, folder, watch=watch)

    try:
        with progress:
            result: Result = run(job())
    except asyncio.CancelledError:
        print(f"interrupted; go on with: wideseek ask --resume {folder}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    return result


def _print(result: Result, json: bool) -> None:
    if json:
        import msgspec

        sys.stdout.buffer.write(msgspec.json.encode(result.as_json()) + b"\n")
        return
    from rich.console import Console

    from wideseek.terminal import show_result

    show_result(result, Console())
    if result.status in ("partial", "interrupted", "failed"):
        print(f"go on with: wideseek ask --resume {result.run_dir}", file=sys.stderr)
    else:
        print(f"run: {result.run_dir}", file=sys.stderr)


def _new_run_dir(question: str) -> Path:
    """A folder that nobody has, in the user's own data: the start's time and the question's first words."""
    import re
    import time

    from platformdirs import user_state_path

    words = "-".join(re.findall(r"\w+", question.lower())[:6])[:48]
    folder = user_state_path("wideseek") / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{words}"
    number = 1
    while (numbered := folder.with_name(f"{folder.name}-{number}" if number > 1 else folder.name)).exists():
        number += 1
    return numbered


@app.command(short_help="Index pages for offline search, for `ask --corpus`.")
def index(
    pages: Annotated[
        list[Path], typer.Argument(help="Files of pages: .jsonl or .jsonl.gz, {url, title, text} a line.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the index; pages are added to what is there.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q")] = False,
    debug: Debug = False,
) -> None:
    """Index pages for offline search, for `ask --corpus`.

    Running it again adds what is new and replaces what has changed. A build that was killed is finished by running it
    again.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from wideseek.records import Page, read_jsonl
    from wideseek.tools.corpus import Corpus

    missing = [str(path) for path in pages if not path.is_file()]
    if missing:
        raise BadInput(f"{', '.join(missing)}: no such file")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} pages"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("indexing", total=None)
        lines = (page for path in pages for page in read_jsonl(path, Page))
        count = Corpus.build(lines, out, progress=lambda done: progress.update(bar, completed=done))
    typer.echo(f"{out}: {count:,} pages")


@app.command(short_help="Search an index, as an agent would.")
def search(
    query: Annotated[str, typer.Argument(help="A few words.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Folder of an index.  [default: the bundled pocket world]")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100)] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print the hits as JSON lines.")] = False,
    debug: Debug = False,
) -> None:
    """Search an index, as an agent would: to see what your agents will find."""
    import asyncio

    import msgspec

    from wideseek.ask import open_source

    async def hits() -> list[Any]:
        source = open_source(corpus)
        try:
            return list(await source.search(query, count))
        finally:
            await source.close()

    for number, hit in enumerate(asyncio.run(hits()), 1):
        line = msgspec.json.encode(hit).decode() if json else f"{number}. {hit.title}\n   {hit.url}\n   {hit.snippet}"
        typer.echo(line)


@app.command(short_help="Print tasks with their gold answers, as JSON lines.")
def tasks(
    bench: Annotated[str, typer.Argument(help="pocket (the bundled world), or a .jsonl[.gz] file of tasks.")],
    split: Annotated[str | None, typer.Option(help="train, dev or test.  [default: all]")] = None,
    kind: Annotated[
        str | None, typer.Option(click_type=click.Choice(["wide", "deep"]), help="Only these.  [default: both]")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many.")] = None,
    debug: Debug = False,
) -> None:
    """Print tasks with their gold answers, as JSON lines."""
    from itertools import islice

    import msgspec

    from wideseek.assets import world_tasks
    from wideseek.records import Task, read_jsonl

    found = world_tasks() if bench == "pocket" else read_jsonl(bench, Task)
    chosen = (task for task in found if split in (None, task.split) and kind in (None, task.kind))
    empty = True
    for task in islice(chosen, limit):
        typer.echo(msgspec.json.encode(task).decode())
        empty = False
    if empty:
        raise BadInput(f"{bench}: no task of split {split or 'any'} and kind {kind or 'any'}")


@app.command(short_help="Show a run: its table, or what one of its agents did, turn by turn.")
def show(
    run_dir: Annotated[Path, typer.Argument(help="Folder of a run.")],
    agent: Annotated[
        str | None, typer.Argument(help="An agent's path, such as lead or lead/2.1.  [default: list them]")
    ] = None,
    debug: Debug = False,
) -> None:
    """Show a run: its agents, or what one of them was told, said and read, turn by turn."""
    from rich.console import Console

    from wideseek.ask import load_rollout
    from wideseek.terminal import show_agents, show_trajectory

    rollout = load_rollout(run_dir)
    if agent is None:
        show_agents(rollout, Console())
        return
    known = {run.path: run for run in rollout.trajectories}
    if agent not in known:
        raise BadInput(f"{run_dir}: no agent {agent!r}; there are: {', '.join(known)}")
    show_trajectory(known[agent], Console())


@app.command(short_help="Print every configuration key with its default.")
def config(debug: Debug = False) -> None:
    """Print every configuration key with its default, as the TOML of a wideseek.toml."""
    from wideseek.config import as_toml

    typer.echo(as_toml())
