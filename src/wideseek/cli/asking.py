"""`wideseek ask`, and what helps with it: `show` a run, print the `config`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wideseek.cli.options import DEBUG, FAILED, FOLDER, HEADER, INTERRUPTED, console, print_json, say, shows_all
from wideseek.cli.trusting import TRUST, load_config, resumed_config, tell_keys
from wideseek.errors import BadInput, RunDirError

if TYPE_CHECKING:
    from wideseek.api import Result, RunRequest
    from wideseek.config import Config
    from wideseek.export import CsvOptions


@click.command(short_help="Answer a broad question with one table, every cell traced to a page.")
@click.argument("question", required=False)
@click.option(
    "--model",
    "-m",
    help="openai/NAME, ollama/NAME, [tokens+]http://HOST:PORT/v1#NAME, local/FOLDER; expert: scripted, no model.  "
    "[default: nano, the bundled model]",
)
@click.option("--sub-model", help="A different model for the subagents.")
@click.option("--verify", metavar="MODEL", help="A model that reads each cell beside its quote.  [default: none]")
@click.option("--width", type=click.IntRange(1), help="Subagents that may run in one round.  [default: 10]")
@click.option("--workflow", type=click.Choice(["team", "single"]), help="A lead with subagents, or one agent.")
@click.option("--corpus", type=FOLDER, help="An index made by `wideseek index`.  [default: the bundled pocket world]")
@click.option("--prompts", help="Prompt profile: default, wideseek-r1, nano, or a folder.  [default: the model's own]")
@click.option("--columns", help='Columns that the table must have: "Name,Year,Country".')
@click.option("--key", help="The columns that tell rows apart.  [default: the first that names things]")
@click.option("--min-supported", type=click.FloatRange(0, 1), help="Share of all cells to be supported, else exit 3.")
@click.option("--out", "-o", type=FOLDER, help="Also write the table here: .md, .csv, .json, .xlsx or .html.")
@click.option("--raw-csv", is_flag=True, help="CSV: leave cells that begin a formula as they are.")
@click.option("--csv-bom", is_flag=True, help="CSV: begin with the byte order mark by which Excel knows UTF-8.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: columns, rows, evidence, usage, stop ...")
@click.option("--max-tokens", type=click.IntRange(1), help="End with what there is after so many tokens,")
@click.option("--max-usd", type=click.FloatRange(0, min_open=True), help="... US dollars (list prices, or your own),")
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="... seconds,")
@click.option("--max-calls", type=click.IntRange(1), help="... model calls.")
@click.option("--temperature", type=click.FloatRange(0), help="Sampling temperature.  [default: the server's]")
@click.option("--run-dir", type=FOLDER, help="Folder of this run.  [default: a new one in your user data]")
@click.option("--resume", type=FOLDER, help="Go on with the run in this folder: nothing that is done is done again.")
@click.option("--config", type=FOLDER, help="A TOML file.  [default: wideseek.toml here, if there]")
@HEADER
@click.option("--set", "settings", multiple=True, help="Any key of `wideseek config`: --set sub.max_turns=8.")
@TRUST
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@DEBUG
def ask(
    question: str | None,
    columns: str | None,
    key: str | None,
    out: Path | None,
    raw_csv: bool,
    csv_bom: bool,
    as_json: bool,
    run_dir: Path | None,
    resume: Path | None,
    config: Path | None,
    headers: tuple[str, ...],
    settings: tuple[str, ...],
    trust: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Answer a broad QUESTION with one table, every cell traced to a page ("-" reads it from standard input).

    A lead agent splits the question; subagents search and read in parallel; the lead writes the table. Ctrl-C ends it
    with what there is. Exit code: 0 complete, 1 failed (nothing was found; --out is left as it was), 2 bad input,
    3 partial (a budget or limit ended it, or something that was asked for is missing), 130 interrupted.
    """
    from wideseek.api import EXIT_CODES, SHORT_NAMES
    from wideseek.config import Config, read_headers, read_overrides
    from wideseek.export import CsvOptions, check_output
    from wideseek.files import decoded

    given = {SHORT_NAMES.get(name, name): value for name, value in options.items() if value is not None}
    given |= read_overrides(settings) | read_headers(headers)
    if out:
        check_output(out, resume or run_dir)
    csv = CsvOptions(raw=raw_csv, bom=csv_bom)
    if resume and run_dir and resume != run_dir:
        raise BadInput("--resume and --run-dir name different folders: --resume alone is enough")
    if question == "-":
        question = decoded(sys.stdin.buffer.read(), "standard input")
    if resume:
        if columns or key or config:
            raise BadInput(f"{resume}: a resumed run keeps its columns, key and config: leave those options out")
        request = _resumed(question, resume, given, trust)
    else:
        request = _asked(question, columns, key, load_config(config, given, trust=trust))
    settled = Config.model_validate(request.config)
    tell_keys(settled, settled.model, settled.sub_model, settled.verify)
    result = _run(request, resume or run_dir or _new_run_dir(request.question), quiet=quiet or as_json)
    written = ""
    try:
        written = _write(result, out, csv) if out else ""  # before the screen: its reader may have gone
    finally:
        _print(result, as_json=as_json, quiet=quiet)
    if written:
        say(written, err=True)
    return EXIT_CODES[result.status]


def _write(result: Result, out: Path, csv: CsvOptions) -> str:
    """Write the result where it is worth a file that may hold a better one; returns the line that says so."""
    from wideseek.export import why_not_written, write_result

    if reason := why_not_written(result):
        return f"not written: {out}: {reason}"
    files = write_result(result, out, csv)
    foreign = out.suffix.lower() == ".csv" and not (csv.bom or out.read_text(encoding="utf-8").isascii())
    hint = " (in Excel its letters show right with --csv-bom)" if foreign else ""
    return f"written: {', '.join(map(str, files))}{hint}"


def _asked(question: str | None, columns: str | None, key: str | None, config: Config) -> RunRequest:
    from wideseek.api import make_request

    if question is None:
        raise BadInput('a question is missing: wideseek ask "..." (or --resume FOLDER)')
    return make_request(question, columns=columns, key=key, config=config)


def _resumed(question: str | None, folder: Path, given: dict[str, Any], trust: bool) -> RunRequest:
    """What the run in `folder` was asked, with the options given now on top."""
    import msgspec

    from wideseek.api import load_request, make_request

    before = load_request(folder)
    config = resumed_config(before.config, given, folder / "run.json", trust=trust)
    request = make_request(question or before.question, config=config)
    return msgspec.structs.replace(request, contract=before.contract)


def _run(request: RunRequest, folder: Path, *, quiet: bool) -> Result:
    """Run with progress on stderr. The first Ctrl-C ends the run gracefully, the second at once."""
    import asyncio
    import contextlib
    import signal

    from wideseek.api import Watch, answer, run
    from wideseek.terminal import LiveTree, PlainLines

    screen = console()
    progress: Any = (
        contextlib.nullcontext() if quiet else LiveTree(screen) if screen.is_terminal else PlainLines(screen)
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
        say(f"interrupted; go on with: wideseek ask --resume {folder}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    return result


def _print(result: Result, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(result.as_json())
        return
    from wideseek.terminal import show_result

    try:
        show_result(result, console(stderr=False))
    except BrokenPipeError:
        raise
    except (OSError, UnicodeError) as error:
        say(f"wideseek: the output cannot be written ({error}); the run is in {result.run_dir}", err=True)
        raise click.exceptions.Exit(FAILED) from None
    if not shows_all(result.question + str(result.table.columns) + str(result.table.rows)):
        say(
            f"characters that this terminal does not know were replaced by ?; the run is in {result.run_dir}",
            err=True,
        )
    if quiet:
        return
    if result.replayed:
        say(f"{result.replayed} calls were taken from the journal", err=True)
    say(_next_step(result), err=True)


def _next_step(result: Result) -> str:
    from wideseek.outcome import unfinished

    if result.rollout.partial and result.status == "partial":
        return f"go on with a larger budget: wideseek ask --resume {result.run_dir}"
    if result.status == "interrupted" or result.rollout.stop == "error" or unfinished(result.rollout):
        return f"go on with: wideseek ask --resume {result.run_dir}"
    return f"every agent's turns: wideseek show {result.run_dir}"


def _new_run_dir(question: str) -> Path:
    """A folder that nobody has, in the user's own data: the start's time and the question's first words."""
    import re
    import time
    from itertools import count

    from platformdirs import user_state_path

    words = "-".join(re.findall(r"\w+", question.lower())[:6])[:48]
    folder = user_state_path("wideseek") / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{words}"
    for number in count(1):
        claimed = folder.with_name(f"{folder.name}-{number}" if number > 1 else folder.name)
        try:
            claimed.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunDirError(f"{claimed}: cannot be made ({error.strerror}): choose a --run-dir") from error
        return claimed
    raise AssertionError("unreachable: the numbers do not end")


@click.command(short_help="Show a run: its agents, or what one of them did, turn by turn.")
@click.argument("run_dir", type=FOLDER)
@click.argument("agent", required=False)
@DEBUG
def show(run_dir: Path, agent: str | None) -> None:
    """Show the run in RUN_DIR: its agents, or what AGENT (a path such as lead/2.1) was told, said and read."""
    from wideseek.api import load_rollout
    from wideseek.terminal import show_agents, show_trajectory

    rollout = load_rollout(run_dir)
    known = {run.path: run for run in rollout.trajectories}
    if agent is None:
        show_agents(rollout, console(stderr=False))
    elif agent in known:
        show_trajectory(known[agent], console(stderr=False))
    else:
        raise BadInput(f"{run_dir}: no agent {agent!r}; there are: {', '.join(known)}")


@click.command(short_help="Print every configuration key with its default.")
@DEBUG
def config() -> None:
    """Print every configuration key with its default, as the TOML of a wideseek.toml."""
    from wideseek.config import as_toml

    say(as_toml())
