"""From an agent's last words to an answer: a table, or a short text in a box.

    read_answer        the table that the text gives as its answer, its cells without markup, and notes
    answer_table       the same with the cells as they were written, for scoring
    without_thought    the text without what was thought before it
    broken_row         the table's row at the end of the text, where it stops in the middle
    findings_table     the table of what the agents have reported so far, for a run that ended before its lead answered

A model is asked for one fenced markdown table and may write several. Tables with equal columns are one table. Of
tables that differ, the one that fits the wanted columns counts, else the last that is neither of notes or sources nor
much shorter than another. What was left aside is said in a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from wideseek.contract.columns import column_sources, row_count
from wideseek.records import Rollout
from wideseek.table import (
    Row,
    Table,
    counts_rows,
    norm_column,
    norm_key,
    plain_cell,
    plain_key,
    read_tables,
)


class Answered(NamedTuple):
    """The table that a text gives, `None` where it has none, and notes on what was joined or left aside."""

    table: Table | None
    notes: list[str]


def read_answer(text: str, wanted: Sequence[str] = (), key: Sequence[str] = (), question: str = "") -> Answered:
    """The table in `text` for people and files: cells without markup, no column that only numbers the rows.

    `wanted` and `key` are the columns that were asked for, by which tables are chosen and joined. A column of ranks
    that counts 1, 2, 3 stays if it is wanted, or if no columns are and the `question` speaks of an order.
    """
    table, notes = answer_table(text, wanted, key, question)
    return Answered(_plain(table) if table else None, notes)


def final_table(text: str, wanted: Sequence[str] = ()) -> Table | None:
    """The table of `read_answer` without its notes."""
    return read_answer(text, wanted).table


def answer_table(text: str, wanted: Sequence[str] = (), key: Sequence[str] = (), question: str = "") -> Answered:
    """The table in `text` with its cells as they were written; see `read_answer`."""
    groups: dict[tuple[str, ...], list[tuple[Table, list[str]]]] = {}
    last: tuple[str, ...] = ()
    for found, doubts in read_tables(without_thought(text)):
        table, dropped = _without_index(found, wanted, question)
        names = tuple(sorted(map(norm_column, table.columns)))
        if last and not any(names) and len(names) == len(last):  # it goes on with the table before it
            table, names = Table(groups[last][0][0].columns, table.rows), last
        groups.setdefault(names, []).append((table, doubts + dropped))
        last = names
    if not groups:
        return Answered(None, [])
    joined = [(*_joined([table for table, _ in group], key), group) for group in groups.values()]
    chosen = _chosen([table for table, _, _ in joined], wanted)
    table, notes, group = joined[chosen]
    doubts = list(dict.fromkeys(doubt for _, said in group for doubt in said))
    return Answered(table, doubts + notes + [_aside(t, len(g)) for i, (t, _, g) in enumerate(joined) if i != chosen])


def _aside(table: Table, count: int) -> str:
    columns = ", ".join(table.columns[:8]) + (", ..." if table.columns[8:] else "")
    some = "1 other table" if count == 1 else f"{count} other tables"
    were = "was" if count == 1 else "were"
    return f"{some} with the columns {columns} ({row_count(len(table.rows))}) {were} left aside."


# ------------------------------------------------------------------------------------------------ which table it is

_ABOUT = {
    "note", "notes", "remark", "remarks", "comment", "comments", "source", "sources", "reference", "references",
    "citation", "citations", "url", "urls", "link", "links", "footnote", "footnotes", "备注", "注释", "说明", "来源",
    "资料来源", "参考资料", "参考文献", "链接", "网址",
}  # fmt: skip
_ABOUT_WHAT = {
    "", "#", "no", "nr", "id", "ref", "item", "items", "field", "column", "topic", "title", "name", "page", "site",
    "website", "number", "publisher", "date", "accessed", "used for", "序号", "编号", "项目", "标题", "字段", "网站",
}  # fmt: skip


def _is_about(table: Table) -> bool:
    """Whether this is a table of notes or sources: a column says so, and none holds anything else."""
    names = {" ".join(name.casefold().split()).strip(" .:：*") for name in table.columns}
    return bool(names & _ABOUT) and names <= _ABOUT | _ABOUT_WHAT


def _chosen(tables: Sequence[Table], wanted: Sequence[str]) -> int:
    """The index of the table that is the answer."""
    candidates = list(range(len(tables)))
    if wanted:
        fits = [sum(map(bool, _sources(table, wanted))) for table in tables]
        candidates = [i for i in candidates if fits[i] == max(fits)]
    candidates = [i for i in candidates if not _is_about(tables[i])] or candidates
    most = max(len(tables[i].rows) for i in candidates)
    return [i for i in candidates if 2 * len(tables[i].rows) >= most][-1]


def _sources(table: Table, wanted: Sequence[str]) -> list[list[int]]:
    return column_sources(Table(table.columns), wanted, wanted[0])[0]


# ---------------------------------------------------------------------------------------- several tables become one


_Placed = dict[tuple[str, ...], list[Row]]  # the rows of a table by what they are called


def _joined(tables: Sequence[Table], key: Sequence[str]) -> tuple[Table, list[str]]:
    """Tables of equal columns as one, rows in order.

    A table that repeats most of the rows before it, by their key, is a new version of them: its rows take their
    place. Else it is another group ("2020", "2021"): its rows stand beside those that have the same key.
    """
    if len(tables) == 1:
        return tables[0], []
    columns = tables[0].columns
    parts = [_reordered(table, columns) for table in tables]
    at = _key_of(parts, columns, key)
    placed: _Placed = {}
    replaced = 0
    doubled: dict[str, None] = {}
    for rows in parts:
        said = _named_rows(rows, at)
        differ = [name for name in said if name in placed and _normed(placed[name]) != _normed(said[name])]
        if _is_new_version(said, placed):
            replaced += len(differ)
            placed |= said
            continue
        doubled |= dict.fromkeys(" / ".join(plain_key(said[name][0][i]) for i in at) for name in differ)
        for name, own in said.items():
            before = placed.setdefault(name, [])
            before += [row for row in own if _normed([row])[0] not in _normed(before)]
    notes = [f"{len(tables)} tables with the same columns were joined."]
    if replaced:
        notes.append(f"{row_count(replaced)} differed between these tables; the later table's cells were kept.")
    if doubled:
        notes.append(f"These tables have different rows for {_listed(list(doubled))}; all of them were kept.")
    return Table(columns, [row for rows in placed.values() for row in rows]), notes


def _named_rows(rows: Sequence[Row], at: Sequence[int]) -> _Placed:
    """A table's rows by their key; a row without one is called by all that it says."""
    named: _Placed = {}
    for number, row in enumerate(rows):
        name = tuple(norm_key(plain_key(row[i])) for i in at)
        named.setdefault(name if any(name) else (*map(str, row), str(number)), []).append(row)
    return named


def _is_new_version(said: _Placed, placed: _Placed) -> bool:
    """Whether a table repeats most rows before it by their key; half are enough where it has no other row."""
    shared = len(said.keys() & placed.keys())
    return 2 * shared > len(placed) or (shared == len(said) and 2 * shared == len(placed))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _normed(rows: Sequence[Row]) -> list[list[str]]:
    return [[norm_key(plain_key(cell)) for cell in row] for row in rows]


def _reordered(table: Table, columns: Sequence[str]) -> list[Row]:
    """The rows with their cells in the order of `columns`, which are the table's own, perhaps in another order."""
    open_places: dict[str, list[int]] = {}
    for i, name in enumerate(table.columns):
        open_places.setdefault(norm_column(name), []).append(i)
    order = [open_places[norm_column(name)].pop(0) for name in columns]
    return [[row[i] for i in order] for row in table.rows]


def _key_of(parts: Sequence[Sequence[Row]], columns: Sequence[str], key: Sequence[str]) -> list[int]:
    """The columns that name a row: the key's, else the first that does not count, else, if that repeats, all."""
    names = list(map(norm_column, columns))
    if key and all(norm_column(name) in names for name in key):
        return [names.index(norm_column(name)) for name in key]
    everything = list(range(len(columns)))
    first = next((i for i in everything if not all(counts_rows([row[i] for row in p]) for p in parts if p)), 0)
    distinct = all(len({norm_key(plain_key(row[first])) for row in part}) == len(part) for part in parts)
    return [first] if distinct else everything


# ----------------------------------------------------------------------------------------------------------- cleaning

_NUMBERED = {
    "#", "no", "nº", "n°", "№", "nr", "num", "number", "s/n", "sn", "slno", "srno", "sno", "index", "idx", "row",
    "row#", "序号", "编号", "番号", "순번",
}  # fmt: skip
_RANKED = {"rank", "ranking", "position", "pos", "排名", "名次", "排序"}
_ORDER = re.compile(r"rank|\btop\b|position|place|order|sort|排|名次|前\s*[0-9一二三四五六七八九十]", re.IGNORECASE)


def _without_index(table: Table, wanted: Sequence[str] = (), question: str = "") -> tuple[Table, list[str]]:
    """The table without a first column that only numbers the rows, as pandas and models write one, and a note."""
    first, *others = table.columns or [""]
    if not others or not table.rows or norm_column(first) in set(map(norm_column, wanted)):
        return table, []
    cells, name = [row[0] for row in table.rows], norm_column(plain_cell(first)).replace(".", "")
    unnamed = not first and all(re.fullmatch(r"#?\d+\.?", cell) for cell in cells)
    ranked = name in _RANKED and (wanted or not _ORDER.search(question))
    if not unnamed and not ((name in _NUMBERED or ranked) and counts_rows(cells)):
        return table, []
    notes = [f"Column {first!r} only numbers the rows and was left out."] if first else []
    return Table(others, [row[1:] for row in table.rows]), notes


_ADDRESSES = re.compile(r"url|link|website|web site|homepage|网址|链接|官网|网站", re.IGNORECASE)


def _plain(table: Table) -> Table:
    """The table with its names and cells as text, without markup; a column of addresses keeps its links' targets."""
    address = [bool(_ADDRESSES.search(name)) for name in table.columns]
    rows = [[plain_cell(c, address=a) for c, a in zip(row, address, strict=True)] for row in table.rows]
    return Table([plain_cell(name) for name in table.columns], rows)


_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_LINE_CHARS = 400  # so much of a line is looked at for a mark's surroundings


def without_thought(text: str) -> str:
    """The text without `<think>...</think>`: up to a closing mark whose opening is missing, from one never closed."""
    kept: list[str] = []
    start, depth = 0, 0
    for mark in _THOUGHT.finditer(text):
        if _is_quoted(text, mark.start()):
            continue
        if not mark[1]:
            if depth == 0:
                kept.append(text[start : mark.start()])
            depth = 1
        elif depth == 0:
            kept.clear()  # a chat template opened it before the text began
        else:
            depth = 0
        start = mark.end()
    return "".join(kept) if depth else "".join([*kept, text[start:]])


def _is_quoted(text: str, at: int) -> bool:
    """Whether a mark stands in a cell or in code: then the text speaks of it."""
    before = text[max(0, at - _LINE_CHARS) : at].rpartition("\n")[2]
    return "|" in before or before.count("`") % 2 == 1


_BAR = re.compile(r"(?<!\\)\|")


def broken_row(text: str) -> str | None:
    """The row of a table with which the text ends, where it stops in the middle; a closing fence may follow it.

    Such a row lacks the closing bar, and either the header has one or the row has fewer cells than the header.
    """
    lines = [line.strip() for line in without_thought(text).rstrip().split("\n")]
    if len(lines) > 1 and re.fullmatch(r"`{3,}|~{3,}", lines[-1]):
        lines.pop()
    start = len(lines)
    while start and _BAR.search(lines[start - 1]):
        start -= 1
    block = lines[start:]
    if len(block) < 3 or not re.fullmatch(r"[|:\-\s]+", block[1]) or _is_closed(block[-1]):
        return None
    fewer = _count_cells(block[-1]) < _count_cells(block[0])
    return block[-1] if fewer or _is_closed(block[0]) else None


def _is_closed(line: str) -> bool:
    return line.endswith("|") and not line.endswith("\\|")


def _count_cells(line: str) -> int:
    return len(_BAR.split(line.removeprefix("|"))) - _is_closed(line)


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` whose braces balance, or `None`."""
    opened: list[tuple[int, bool]] = []  # where each brace that is open began, and whether it is a box's
    last: tuple[int, str] | None = None
    for mark in re.finditer(r"(\\boxed\s*)?\{|\}", text):
        if mark[0] != "}":
            opened.append((mark.end(), mark[1] is not None))
        elif opened:
            start, is_box = opened.pop()
            if is_box and (last is None or start > last[0]):
                last = start, text[start : mark.start()].strip()
    return last[1] if last else None


class Findings(NamedTuple):
    """What the agents have reported so far as one table, possibly without rows, and notes on its reading.

    `in_words`: no report holds a table, and the rows are the reports themselves.
    """

    table: Table
    notes: list[str]
    in_words: bool


def findings_table(
    rollout: Rollout,
    key: Sequence[str] = (),
    *,
    key_of: Callable[[Table], Sequence[str]] = lambda table: table.columns[:1],
    shaped: Callable[[Table], Table] = lambda table: table,
) -> Findings:
    """Tables in the agents' reports, each put into shape by `shaped`, merged on `key`, else on `key_of` the first one.

    Where two reports fill a cell, the one whose answer was not cut off counts. Where no report holds a table, the rows
    are the reports, one per subtask, unless the lead has said why it gives no table.
    """
    runs = [run for run in rollout.trajectories if run.turns]
    whole_first = sorted(runs, key=lambda run: run.turns[-1].completion.truncated is not None)
    read = [read_answer(run.turns[-1].completion.text, rollout.task.required, key) for run in whole_first]
    kept = [(shaped(found.table), found.notes) for found in read if found.table]
    tables = [table for table, _ in kept if table.rows]
    if tables:
        first, *rest = tables
        merged, left_out = first.merge(rest, list(key) or list(key_of(first)))
        notes = [note for table, said in kept if table.rows for note in said]
        return Findings(merged, list(dict.fromkeys(notes + left_out)), in_words=False)
    said = [(run.prompt, run.turns[-1].completion.text) for run in rollout.trajectories[1:] if run.turns]
    rows = [[prompt, text] for prompt, text in said if text.strip() and not rollout.answer]
    return Findings(Table(["subtask", "finding"], rows), [], in_words=True)
