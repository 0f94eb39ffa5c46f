"""The main job: a broad question becomes one audited table.

    question, config -> team -> rollout -> answer -> table -> contract -> evidence -> Result

A run has a folder: `run.json` (what was asked, with which configuration), `journal.jsonl` (every completed call),
`rollout.json` and `result.json` (once it has ended). Asking the same again with the same folder goes on where a killed
run stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from wideseek.answer import boxed, findings_table, read_answer
from wideseek.assembly import Load, check_verifier, default_model, open_team, open_verifier, pages_of, settled, sheet_of
from wideseek.budget import Budget, Limits
from wideseek.config import Config
from wideseek.contract import Contract
from wideseek.errors import BadInput, PolicyUnavailable, RunDirError, ToolError
from wideseek.evidence import EvidenceTable, Levels, Shelf, key_columns, short_answer, trace
from wideseek.files import write_own
from wideseek.journal import Journal
from wideseek.outcome import EXIT_CODES as EXIT_CODES
from wideseek.outcome import Status, status_of
from wideseek.reach import left_out, nearest_questions, out_of_reach
from wideseek.records import Page, Rollout, Task, Trajectory, Usage, language_of, read_record
from wideseek.roles import Profile
from wideseek.table import Table
from wideseek.verify import verify

if TYPE_CHECKING:
    import pydantic

T = TypeVar("T")
QUOTE_CHARS = 240
NO_MODEL = (
    "No language model is installed: pip install 'wideseek[local]' for the bundled one, or choose one with --model."
)


class RunRequest(msgspec.Struct, kw_only=True):
    """What a run was asked to do: the record in `run.json`, all that a resume needs."""

    question: str
    config: dict[str, Any]
    contract: Contract | None = None


@dataclass(frozen=True)
class Watch:
    """What a face may watch and do while a run goes on: the growing rollout, and the budget (to interrupt it)."""

    rollout: Rollout
    budget: Budget


@dataclass
class Result:
    """A table with what stands behind it.

    `evidence[row][column]` belongs to `table.rows[row][column]`; `levels` counts the cells by their level, and
    `supported` is the share of supported ones among all, empty ones included, in [0, 1]. `status` is `complete`,
    `partial`, `failed` or `interrupted` (`wideseek.outcome` has the rules), and `reason` says why in words. `notes`
    says what was repaired or is missing. `typed` holds one instance a row where a pydantic model was given as the
    schema. `replayed` counts the calls taken from the journal of a resumed run. `prices_of` is the day of the
    list prices that `usage.usd` was counted with; empty where they are the user's own.
    """

    question: str
    table: Table
    key: list[str]
    evidence: EvidenceTable
    rollout: Rollout
    status: Status
    reason: str
    usage: Usage
    seconds: float
    label: str = ""
    notes: list[str] = field(default_factory=list)
    typed: list[Any] | None = None
    run_dir: Path | None = None
    replayed: int = 0
    prices_of: str = ""

    @property
    def levels(self) -> Levels:
        return Levels.of(self.evidence)

    @property
    def supported(self) -> float | None:
        return self.levels.share

    @property
    def rows(self) -> list[Any]:
        """Typed rows where a schema was given, else one dict a row."""
        return self.table.records() if self.typed is None else self.typed

    def as_json(self) -> dict[str, Any]:
        """The object that `wideseek ask --json` prints."""
        return {
            "question": self.question,
            "status": self.status,
            "stop": self.rollout.stop,
            "reason": self.reason,
            "label": self.label,
            "columns": self.table.columns,
            "key": self.key,
            "rows": self.table.rows,
            "evidence": msgspec.to_builtins(self.evidence),
            "cells": {
                "wanted": self.levels.cells,
                "found": self.levels.found,
                **msgspec.structs.asdict(self.levels),
            },
            "supported": self.supported,
            "notes": self.notes,
            "usage": {
                **msgspec.structs.asdict(self.usage),
                "tokens": self.usage.tokens,
                "seconds": round(self.seconds, 3),
                "prices_of": self.prices_of,
            },
            "replayed": self.replayed,
            "run_dir": str(self.run_dir) if self.run_dir else None,
        }


def ask(question: str, **options: Any) -> Result:
    """Answer a broad question with one table, each cell traced to a page that was read.

        ask("Which ... are there? Give ... and ... for each.", model="openai/gpt-5", width=20)
        ask("...", columns="Name, Year, Country", key="Name", max_usd=1.0, run_dir="runs/first")
        ask("...", schema=University).rows            # a list of University, a pydantic model

    Options: `model` and `sub_model`, `width` (subagents in one round), `workflow` ("team" or "single"), `corpus` (a
    folder made by `wideseek index`), `prompts` (a profile or a folder), `max_tokens`, `max_usd`, `max_seconds` and
    `max_calls`, `min_supported` (the share of all cells that has to be supported, else the run is partial), and every
    other configuration key, nested ones with two underscores: `sub__max_turns=8` (`wideseek config` lists them);
    `config` is a TOML file or a `Config` to start from. `columns` and `key`, or a pydantic model as `schema`, fix the
    table's columns. With `run_dir` every call is journalled there, and asking the same again
    resumes. `watch` is called once, with what a progress display needs.

    Raises `BadInput` for what you can mend, `PolicyError` for a model that cannot be reached or refuses from the start,
    each in one line: where, what, what next; inside a running event loop use `ask_async`. What goes wrong later is
    told in the result (`status`, `reason`, `notes`), which has a table in every case.
    """
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise BadInput("an event loop is running here (a notebook?): write `await wideseek.ask_async(...)` instead")
    return run(ask_async(question, **options))


def run(job: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, on uvloop where it is installed."""
    with rare_collections(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(job)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Look for reference cycles less often: thousands of live agents make each look long, and leave few cycles."""
    before = gc.get_threshold()
    gc.set_threshold(10_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def ask_async(
    question: str,
    *,
    schema: type[pydantic.BaseModel] | None = None,
    columns: str | Sequence[str] | None = None,
    key: str | Sequence[str] | None = None,
    run_dir: str | Path | None = None,
    config: Config | str | Path | None = None,
    watch: Callable[[Watch], None] | None = None,
    **options: Any,
) -> Result:
    """`ask` for asynchronous code: the same options, results and errors."""
    request = make_request(question, schema=schema, columns=columns, key=key, config=config, options=options)
    return await answer(request, Path(run_dir) if run_dir else None, schema=schema, watch=watch)


def make_request(
    question: str,
    *,
    schema: type[pydantic.BaseModel] | None = None,
    columns: str | Sequence[str] | None = None,
    key: str | Sequence[str] | None = None,
    config: Config | str | Path | None = None,
    options: dict[str, Any] | None = None,
) -> RunRequest:
    """Check everything that can be checked before anything runs. Raises `BadInput`."""
    if schema and (columns or key):
        raise BadInput("schema fixes the columns and the key: leave columns and key out")
    overrides = {SHORT_NAMES.get(name, name.replace("__", ".")): value for name, value in (options or {}).items()}
    if isinstance(config, Config):
        config = Config.merged(config.model_dump(exclude_defaults=True), overrides)
    else:
        config = Config.load(Path(config) if config else None, overrides)
    if not isinstance(question, str):
        raise BadInput(f"the question is a {type(question).__name__}, not text")
    question = question.encode("utf-8", "replace").decode().strip()  # a terminal may hand over broken characters
    _check_question(question, config)
    check_verifier(config)
    contract = Contract.of_model(schema) if schema else Contract.parse(columns, key) if columns else None
    if key and not contract:
        raise BadInput("key: needs columns: name the columns of the table, the key among them")
    return RunRequest(question=question, config=settled(config).portable(), contract=contract)


SHORT_NAMES = {
    "width": "lead.max_calls",
    "temperature": "sampling.temperature",
    "max_tokens": "budget.tokens",
    "max_usd": "budget.usd",
    "max_seconds": "budget.seconds",
    "max_calls": "budget.calls",
}
"""What configuration keys are called where people type them."""


def _check_question(question: str, config: Config) -> None:
    if not question:
        raise BadInput("the question is empty: ask for a list of things and the facts wanted of each")
    limit = 2 * config.lead.context_tokens  # about half of the context at four characters a token
    if len(question) > limit:
        raise BadInput(
            f"the question has {len(question):,} characters, at most {limit:,} fit beside the work (half of "
            "lead.context_tokens): shorten it, or raise lead.context_tokens and sub.context_tokens"
        )


def load_request(folder: Path) -> RunRequest:
    """What the run in `folder` was asked. Raises `RunDirError` where there is no run, or an unreadable one."""
    try:
        return read_record(folder / "run.json", RunRequest)
    except FileNotFoundError as error:
        raise RunDirError(f"{folder}: there is no run (no run.json): check the folder") from error
    except RunDirError as error:
        raise RunDirError(f"{error}; start again with another --run-dir") from error


def load_rollout(folder: Path) -> Rollout:
    """The ended run in `folder`. Raises `RunDirError` where it has not ended, or cannot be read."""
    try:
        rollout = read_record(folder / "rollout.json", Rollout)
    except FileNotFoundError as error:
        load_request(folder)
        raise RunDirError(f"{folder}: this run has not ended: wideseek ask --resume {folder}") from error
    if not rollout.trajectories:
        raise RunDirError(f"{folder}/rollout.json: holds no agent: wideseek ask --resume {folder} writes it again")
    return rollout


async def answer(
    request: RunRequest,
    folder: Path | None = None,
    *,
    schema: type[pydantic.BaseModel] | None = None,
    watch: Callable[[Watch], None] | None = None,
    load: Load | None = None,
) -> Result:
    """Run `request`, journalled in `folder`: what its journal holds is not done again.

    `load` makes the policies, in place of those that the configuration names.
    """
    started = time.monotonic()
    config = Config.model_validate(request.config)
    with Journal(folder) as journal:
        if folder:
            _claim(folder, request)
        budget = Budget(Limits(**config.budget.model_dump()), spent=journal.spent())
        shelf = Shelf()
        async with open_team(config, journal, budget, load=load) as team:
            task = _task(request, config, team.profile)
            with _in_background(shelf.prepare) as prepare:
                rollout = await team.solve(
                    task,
                    workflow=config.workflow,
                    observe=lambda rollout: watch(Watch(rollout, budget)) if watch else None,
                    on_page=prepare,
                )
            label = "; ".join(sorted({p.label for p in team.policies.values() if p.label}))
        if rollout.stop == "error" and not rollout.lead.turns:
            raise PolicyUnavailable(rollout.error)
        found = (request, rollout, budget, schema, config.min_supported, shelf)
        result = await asyncio.to_thread(_result, *found)
        _doubt(result, config)
        if config.verify:
            await _verify(result, config, budget, journal)
        if config.model == default_model() == "expert":
            result.notes.append(NO_MODEL)
        result.seconds, result.label, result.run_dir = time.monotonic() - started, label, folder
        result.replayed = journal.recalled
        if journal.note:
            result.notes.append(journal.note)
        if folder:
            _write(folder / "rollout.json", rollout)
            _write(folder / "result.json", result.as_json())
    return result


@contextlib.contextmanager
def _in_background(job: Callable[[Page], object]) -> Iterator[Callable[[Page], None]]:
    """Do `job` for one page after another in a thread, beside the event loop; what is left at the end is not done."""
    thread = ThreadPoolExecutor(1, "wideseek-pages")

    def submit(page: Page) -> None:
        thread.submit(job, page)

    try:
        yield submit
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


def _claim(folder: Path, request: RunRequest) -> None:
    """Make the folder this request's: a run is resumed with the question, columns and pages that it began with."""
    if (folder / "run.json").exists():
        before = load_request(folder)
        if (before.question, before.contract) != (request.question, request.contract):
            columns = f" with columns {', '.join(before.contract.columns)}" if before.contract else ""
            raise RunDirError(
                f"{folder}: was asked something else ({before.question[:60]!r}{columns}): choose another --run-dir"
            )
        for key in ("corpus", "pages"):
            if before.config.get(key) != request.config.get(key):
                raise RunDirError(
                    f"{folder}: was run with other {key} ({before.config.get(key)}): choose another --run-dir"
                )
    _write(folder / "run.json", request)


def _task(request: RunRequest, config: Config, profile: Profile) -> Task:
    language = language_of(request.question) if config.language == "auto" else config.language
    if request.contract is None:
        return Task(question=request.question, language=language, kind="wide")
    columns, key = request.contract.columns, request.contract.key
    wanted = profile.notice("contract", language, columns=", ".join(columns), key=", ".join(key))
    question = f"{request.question}\n\n{wanted}"
    return Task(question=question, language=language, kind="wide", required=columns, unique_columns=key)


def _result(
    request: RunRequest,
    rollout: Rollout,
    budget: Budget,
    schema: type[pydantic.BaseModel] | None,
    min_supported: float,
    shelf: Shelf,
) -> Result:
    (answered, notes), contract = _answered_table(rollout), request.contract
    table, notes = (answered, notes) if answered else _findings(rollout, contract)
    typed: list[Any] | None = None
    if contract:
        table, repairs = contract.conform(table)
        notes += repairs
        if schema:
            typed, problems = contract.typed(table, schema)
            notes += problems
    key = contract.key if contract and not contract.assumed_key else key_columns(table)
    if answered and contract is None and (short := _short_answer(rollout)) is not None:
        evidence = [[short_answer(short, rollout)]]
    else:
        evidence = trace(table, key, rollout, shelf)
    status, reason = status_of(
        rollout, table, evidence, budget, answered=answered is not None, min_supported=min_supported
    )
    return Result(
        question=request.question,
        table=table,
        key=key,
        evidence=evidence,
        rollout=rollout,
        status=status,
        reason=reason,
        usage=budget.spent,
        prices_of=budget.prices_of,
        seconds=0.0,
        notes=notes + _failures(rollout),
        typed=typed,
    )


def _doubt(result: Result, config: Config) -> None:
    """Withdraw an answer that a model of one world gives about another: the run has failed, and says why and what can
    be asked."""
    world = "the bundled pocket world" if config.model == "expert" else sheet_of(config.model).world
    if not world or result.status == "interrupted" or result.rollout.partial or result.rollout.error:
        return
    if config.model == "expert" and result.status == "failed":  # it says itself what it did not understand
        result.reason = _with_offer(result.reason, result.question, config)
        return
    levels = result.levels
    if (why := out_of_reach(result.rollout, levels.supported / levels.found if levels.found else None)) is not None:
        result.status, result.table, result.evidence, result.typed = "failed", Table(), [], None
        result.key = []
        kind = "scripted expert" if config.model == "expert" else f"bundled model {config.model}"
        reason = (
            f"The {kind}, which knows {world} only, could not answer this: {why}. For other questions "
            "choose a language model (--model openai/NAME, or --model http://HOST:PORT/v1#NAME) and your own pages "
            "(--corpus FOLDER); `wideseek tasks pocket` shows what can be asked here."
        )
        result.reason = _with_offer(reason, result.question, config)
    elif result.status == "complete" and (missing := left_out(result.rollout)):
        result.status = "partial"
        result.reason = f"{len(missing)} of the list's members have no row: {', '.join(missing[:5])}"


def _with_offer(reason: str, question: str, config: Config) -> str:
    """The reason, and the nearest questions that the pages which were searched can answer."""
    with contextlib.suppress(BadInput, ToolError):  # pages that cannot be read now offer nothing
        if offers := nearest_questions(question, pages_of(config.corpus)):
            return f"{reason} Nearest questions that can be asked: {' | '.join(offers)}"
        shows = (
            ""
            if "wideseek tasks" in reason
            else ": `wideseek tasks pocket` shows what can be asked of the bundled ones"
        )
        return f"{reason} No list on these pages is near to the question{shows}."
    return reason


async def _verify(result: Result, config: Config, budget: Budget, journal: Journal) -> None:
    """Let a model read the cells beside their quotes: what it says stands in the evidence and in a note."""
    try:
        policy = open_verifier(config)
    except BadInput as error:  # the table is there already, and stays
        result.notes.append(f"Nothing was verified: {error}")
        return
    try:
        result.evidence, notes = await verify(
            result.table, result.key, result.evidence, result.rollout, policy, budget=budget, journal=journal
        )
    finally:
        await policy.close()
    result.notes += notes
    result.usage = budget.spent


def _findings(rollout: Rollout, contract: Contract | None) -> tuple[Table, list[str]]:
    """The findings so far as a table; as notes where they are in words and the table's columns are given."""
    if contract:
        found = findings_table(rollout, contract.key, shaped=lambda report: contract.conform(report)[0])
    else:
        found = findings_table(rollout, key_of=key_columns)
    table = found.table
    if not table.rows:
        return (Table(contract.columns) if contract else table), []
    notes = ["The lead gave no table: these are the findings so far.", *found.notes]
    if not (found.in_words and contract):
        return table, notes
    return Table(contract.columns), notes + [f"{task}: {finding}" for task, finding in table.rows]


def _answered_table(rollout: Rollout) -> tuple[Table | None, list[str]]:
    """The lead's table and notes on its reading; a short answer in a box is a table of one cell."""
    task = rollout.task
    table, notes = read_answer(rollout.answer, task.required, task.unique_columns, task.question)
    if table is None and (short := _short_answer(rollout)) is not None:
        return Table(["answer"], [[short]]), notes
    return table, notes


def _short_answer(rollout: Rollout) -> str | None:
    """The answer in a box, where the lead gave no table."""
    task = rollout.task
    table, _ = read_answer(rollout.answer, task.required, task.unique_columns, task.question)
    return boxed(rollout.answer) if table is None else None


def _failures(rollout: Rollout) -> list[str]:
    """A note for each subagent that gave its lead no answer."""
    silent = [run for run in rollout.trajectories[1:] if run.stop not in ("answer", "budget", None)]
    return [f"Subagent {run.path} {_failure(run)}" for run in silent]


def _failure(run: Trajectory) -> str:
    if run.stop == "error":
        return f"failed and was reported as failed to the lead: {run.error}"
    return f"gave no answer, which its lead was told ({run.stop}{f': {run.error}' if run.error else ''})"


def _write(path: Path, record: Any) -> None:
    """Write a record whole or not at all."""
    write_own(path, msgspec.json.encode(record), f"make room, then wideseek ask --resume {path.parent}")
