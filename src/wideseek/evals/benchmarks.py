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
installed. `scoring/tasks.py` reads the files.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
from rapidfuzz import process

from wideseek.errors import BadInput
from wideseek.records import Kind, Task
from wideseek.scoring.tasks import Placed, check_tasks, placed_tasks

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
    tasks = ((where, task) for where, task in _read(name, split, data) if kind in (None, task.kind))
    chosen = list(islice(tasks, limit))
    if not chosen:
        wanted = " and ".join(f"{what} {value}" for what, value in (("split", split), ("kind", kind)) if value)
        raise BadInput(f"{name}: no task{f' of {wanted}' if wanted else ''}")
    check_tasks(chosen)
    return [task for _, task in chosen]


# --------------------------------------------------------------------------------------------------------- reading


def _read(name: str, split: str | None, data: str | Path | None) -> Iterator[Placed]:
    """Every task of a bench or a file, of the split, and where it stands."""
    if name == "pocket":
        from wideseek.assets import world_tasks

        return ((name, task) for task in world_tasks(split or BENCHES["pocket"].split))
    if name in BENCHES:
        path = _find(name, split, data)
        wanted = None if "$split" in "".join(BENCHES[name].files) else split
    else:
        path, wanted = _existing(name), split
    return ((where, task) for where, task in placed_tasks(path) if wanted in (None, task.split))


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
