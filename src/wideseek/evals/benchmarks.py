"""Benchmarks: a name, or a file, becomes checked tasks.

    pocket                     the bundled world's tasks (split "test" unless said otherwise)
    wikitables                 tasks_SPLIT.jsonl[.gz] ("dev")
    widesearch                 widesearch.jsonl[.gz]; gold inline, or as published: widesearch_gold/ID.csv beside it
    deepwidesearch             the same: deepwidesearch.jsonl[.gz], deepwidesearch_gold/
    qa/NAME                    NAME.jsonl[.gz], or as published: NAME/test.jsonl or dev.jsonl
                               (nq, triviaqa, popqa, hotpotqa, 2wikimultihopqa, musique, bamboogle)
    hybridqa, ottqa            NAME_SPLIT.jsonl[.gz] ("dev")
    FILE.jsonl[.gz]            any tasks in the train format (`wideseek.records.Task`)

A bench that is not bundled is looked for in a folder that you name (`data`, or the variable WIDESEEK_BENCHES: the
folder itself, or a folder in it named after the bench), then on the Hugging Face hub where `huggingface_hub` is
installed. Records may name their fields as the sources do: `id`, `query`, `answers`, `golden_answers`,
`evaluation` as JSON text.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from rapidfuzz import process

from wideseek.errors import BadInput
from wideseek.records import Kind, Task, read_jsonl
from wideseek.scoring.spec import Spec, gold_table
from wideseek.table import Table, norm_column

DATA_VARIABLE = "WIDESEEK_BENCHES"


class Bench(msgspec.Struct, frozen=True):
    """Where a benchmark's tasks are found.

    `files` are paths without their ending below the data folder, the first that is there counts; `$split` stands for
    the split. `hub` is the dataset on the hub, `hub_files` what is fetched from it.
    """

    folder: str
    files: tuple[str, ...]
    split: str | None = None
    hub: str | None = None
    hub_files: tuple[str, ...] = ()


def _qa(name: str, published: str = "test") -> Bench:
    files = (name, f"{name}/$split", f"{name}/{published}")
    return Bench("qa", files, published, "RUC-NLPIR/FlashRAG_datasets", (f"{name}/{published}.jsonl",))


BENCHES: dict[str, Bench] = {
    "pocket": Bench("", (), "test"),
    "wikitables": Bench("wikitables", ("tasks_$split",), "dev"),
    "widesearch": Bench(
        "widesearch",
        ("widesearch",),
        hub="ByteDance-Seed/WideSearch",
        hub_files=("widesearch.jsonl", "widesearch_gold/*"),
    ),
    "deepwidesearch": Bench(
        "widesearch", ("deepwidesearch",), hub="AIDC-AI/DeepWideSearch", hub_files=("*.jsonl", "*.csv")
    ),
    "hybridqa": Bench("hybridqa", ("hybridqa_$split",), "dev"),
    "ottqa": Bench("hybridqa", ("ottqa_$split",), "dev"),
    "qa/nq": _qa("nq"),
    "qa/triviaqa": _qa("triviaqa"),
    "qa/popqa": _qa("popqa"),
    "qa/hotpotqa": _qa("hotpotqa", "dev"),
    "qa/2wikimultihopqa": _qa("2wikimultihopqa", "dev"),
    "qa/musique": _qa("musique", "dev"),
    "qa/bamboogle": _qa("bamboogle"),
}


def load_bench(
    name: str,
    split: str | None = None,
    limit: int | None = None,
    *,
    kind: Kind | None = None,
    data: str | Path | None = None,
) -> list[Task]:
    """The tasks of a benchmark or a file, at most `limit`, all with gold and an id of their own.

    Raises `BadInput` in one line for an unknown bench (naming the nearest), data that is not there, no task of that
    split and kind, ids that occur twice, a task without gold, a gold table without a required column.
    """
    tasks = (task for task in _read(name, split, data) if kind in (None, task.kind))
    chosen = list(islice(tasks, limit))
    if not chosen:
        wanted = " and ".join(f"{what} {value}" for what, value in (("split", split), ("kind", kind)) if value)
        raise BadInput(f"{name}: no task{f' of {wanted}' if wanted else ''}")
    check_tasks(chosen, name)
    return chosen


def check_tasks(tasks: Sequence[Task], name: str) -> None:
    """Raises `BadInput` for tasks that cannot be scored one by one: an id twice, no gold, no required column."""
    seen: set[str] = set()
    for task in tasks:
        if task.instance_id in seen:
            raise BadInput(f"{name}: the id {task.instance_id!r} occurs twice: give every task an id of its own")
        seen.add(task.instance_id)
        if not task.question.strip():
            raise BadInput(f"{name}: task {task.instance_id!r} has no question")
        if not task.answer and not task.meta.get("answer_csv"):
            raise BadInput(f"{name}: task {task.instance_id!r} has no gold answer: nothing to score against")
        if task.kind == "wide":
            Spec.of(task, gold_table(task))


# --------------------------------------------------------------------------------------------------------- reading


def _read(name: str, split: str | None, data: str | Path | None) -> Iterator[Task]:
    """Every task of a bench or a file, of the split."""
    if name == "pocket":
        from wideseek.assets import world_tasks

        return world_tasks(split or BENCHES["pocket"].split)
    if name in BENCHES:
        path = _find(name, split, data)
        wanted = None if "$split" in "".join(BENCHES[name].files) else split
    else:
        path, wanted = _existing(name), split
    return (task for task in _tasks(path) if wanted in (None, task.split))


def _existing(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".jsonl", ".gz") or path.is_absolute():
        raise BadInput(f"{name}: no such file")
    nearest, *_ = process.extractOne(name, list(BENCHES))
    raise BadInput(
        f"{name}: unknown bench; did you mean {nearest}? There are {', '.join(BENCHES)}, or a file of tasks (.jsonl)"
    )


def _find(name: str, split: str | None, data: str | Path | None) -> Path:
    """The file of a bench: in the folder given, or fetched from the hub."""
    bench = BENCHES[name]
    given = data or os.environ.get(DATA_VARIABLE)
    if given:
        found = _file_in(Path(given), bench, split)
        if found is None:
            wanted = " or ".join(f"{file}.jsonl[.gz]" for file in _files(bench, split))
            raise BadInput(f"{name}: no {wanted} in {given}, nor in {Path(given) / bench.folder}")
        return found
    found = _file_in(_fetch(name, bench), bench, split)
    if found is None:
        raise BadInput(f"{name}: {bench.hub} holds no such file: download it, then name its folder with --data")
    return found


def _files(bench: Bench, split: str | None) -> list[str]:
    return list(dict.fromkeys(file.replace("$split", split or bench.split or "test") for file in bench.files))


def _file_in(home: Path, bench: Bench, split: str | None) -> Path | None:
    for folder in (home, home / bench.folder):
        for file in _files(bench, split):
            for path in (folder / f"{file}.jsonl", folder / f"{file}.jsonl.gz"):
                if path.is_file():
                    return path
    return None


def _fetch(name: str, bench: Bench) -> Path:
    """The folder of a hub dataset's files, downloaded once. Raises `BadInput` where that cannot be done."""
    missing = f"{name}: its data is not bundled: name its folder with --data DIR or {DATA_VARIABLE}"
    if bench.hub is None:
        raise BadInput(missing)
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise BadInput(f"{missing}, or pip install huggingface_hub to fetch {bench.hub}") from error
    try:
        return Path(hub.snapshot_download(bench.hub, repo_type="dataset", allow_patterns=list(bench.hub_files)))
    except Exception as error:  # its errors have no common base: no connection, no access, no such dataset
        raise BadInput(f"{missing} ({bench.hub} could not be fetched: {' '.join(str(error).split())[:200]})") from error


def _tasks(path: Path) -> Iterator[Task]:
    """The tasks of one file; gold tables that lie beside it as CSV are read with them."""
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    gold = path.with_name(f"{stem}_gold")
    for number, record in enumerate(_records(path), 1):
        yield _task(record, f"{path}, line {number}", f"{stem}_{number:05d}", gold if gold.is_dir() else None)


def _records(path: Path) -> Iterable[dict[str, Any]]:
    return read_jsonl(path, dict)


def _task(record: dict[str, Any], where: str, default_id: str, gold: Path | None) -> Task:
    """A record of any source as a task. Raises `BadInput` naming the line."""
    record = dict(record)
    record["instance_id"] = str(_first(record, "instance_id", "id", "sample_id", default=default_id))
    if (answers := _first(record, "answer", "answers", "golden_answers")) is not None:
        record["answer"] = answers
    if isinstance(record.get("evaluation"), str):
        record["evaluation"] = _decoded(record["evaluation"], where)
    for name in ("unique_columns", "required"):
        record[name] = record.get(name) or (record.get("evaluation") or {}).get(name) or []
    record["meta"] = {**(record.get("meta") or {}), **_published_gold(record, gold)}
    try:
        task = msgspec.convert(record, Task)
    except msgspec.ValidationError as error:
        raise BadInput(f"{where}: {error}") from error
    if task.kind == "deep" and isinstance(task.answer, str):
        task.answer = [task.answer]
    if task.kind == "wide" and not task.answer and "answer_csv" in task.meta:
        task.answer = _markdown_gold(task, where)
    return task


def _first(record: dict[str, Any], *names: str, default: Any = None) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), default)


def _decoded(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise BadInput(f"{where}: evaluation: {error}") from error


def _published_gold(record: dict[str, Any], gold: Path | None) -> dict[str, str]:
    """The published CSV text, from the record or from the folder of gold tables: what scoring reads first."""
    if isinstance(record.get("answer_csv"), str):
        return {"answer_csv": record["answer_csv"]}
    path = gold / f"{record['instance_id']}.csv" if gold else None
    if path is None or not path.is_file():
        return {}
    try:
        return {"answer_csv": path.read_text(encoding="utf-8-sig")}
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error


def _markdown_gold(task: Task, where: str) -> str:
    """The published gold as the fenced markdown table that people read, cut to the required columns."""
    try:
        table = Table.from_csv(task.meta["answer_csv"])
    except BadInput as error:
        raise BadInput(f"{where}: gold: {error}") from error
    required = {norm_column(name) for name in task.required}
    kept = [name for name in table.columns if norm_column(name) in required] or table.columns
    return f"```markdown\n{table.select(kept).to_markdown()}\n```"
