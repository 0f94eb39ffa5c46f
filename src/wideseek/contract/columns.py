"""Columns of a model's table matched to the wanted ones by name, never two to one.

    column_sources    for each wanted column where its cells come from, with notes
    row_count         "1 row", "2 rows", in notes

Names match exactly (`norm_column`), else by letters and digits alone, else without a remark in brackets, else by
likeness.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wideseek.table import Table, norm_column, norm_key

_ALIKE = 93.0  # of 100: one slip in a long word; "Country" and "County" are 92


def column_sources(table: Table, wanted: Sequence[str], key: str) -> tuple[list[list[int]], list[str]]:
    """For each wanted column the indices of the table's columns that give its cells, and notes.

    A key that nothing is called like, or whose column is empty, is read from the table's first column, if that is not
    wanted as another.
    """
    found = table.columns
    sources = [[i for i, name in enumerate(found) if norm_column(name) == norm_column(column)] for column in wanted]
    notes = [
        _doubling_note(table, column, indices) for column, indices in zip(wanted, sources, strict=True) if indices[1:]
    ]
    for same in (_same_letters, _same_but_for_brackets, _alike):
        open_wanted = [w for w, indices in enumerate(sources) if not indices]
        taken = {i for indices in sources for i in indices}
        open_found = [i for i in range(len(found)) if i not in taken]
        pairs = [(w, i) for w in open_wanted for i in open_found if same(found[i], wanted[w])]
        for w, i in _unrivalled(pairs):
            sources[w] = [i]
            notes.append(f"Column {found[i]!r} was read as {wanted[w]!r}.")
    taken = {i for indices in sources for i in indices}
    empty = not any(row[i].strip() for row in table.rows for i in sources[wanted.index(key)])
    if empty and found and table.rows and 0 not in taken:
        sources[wanted.index(key)] = [0]
        taken.add(0)
        notes.append(f"Column {found[0]!r}, the first, was read as the key {key!r}.")
    notes += [
        f"Column {wanted[w]!r} is missing; its cells are empty." for w, indices in enumerate(sources) if not indices
    ]
    notes += [f"Column {name!r} was not asked for and was left out." for i, name in enumerate(found) if i not in taken]
    return sources, notes


def _unrivalled(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs whose two members occur in no other pair: where two compete, neither is taken."""
    wanted, found = [w for w, _ in pairs], [i for _, i in pairs]
    return [(w, i) for w, i in pairs if wanted.count(w) == 1 and found.count(i) == 1]


def _doubling_note(table: Table, column: str, indices: list[int]) -> str:
    differ = sum(len({norm_key(row[i]) for i in indices if row[i].strip()}) > 1 for row in table.rows)
    note = f"Column {column!r} came {len(indices)} times; the first filled cell of each row was kept"
    return f"{note} ({row_count(differ)} differed)." if differ else f"{note}."


def row_count(number: int) -> str:
    """`1 row`, `2 rows`: for notes."""
    return "1 row" if number == 1 else f"{number} rows"


def _letters(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _words(name: str) -> list[str]:
    return re.findall(r"\d+|[^\W\d_]+", name.casefold())


def _without_brackets(name: str) -> str:
    return re.sub(r"\([^()]*\)|\[[^\[\]]*\]|（[^（）]*）", "", name)


def _same_letters(found: str, wanted: str) -> bool:
    return bool(_letters(found)) and _letters(found) == _letters(wanted)


def _same_but_for_brackets(found: str, wanted: str) -> bool:
    """Equal if a remark in brackets is taken off the one name that has it: of two remarks, one may deny the other."""
    bare_found, bare_wanted = _without_brackets(found), _without_brackets(wanted)
    one_remark = (bare_found != found) != (bare_wanted != wanted)
    return one_remark and _same_letters(bare_found, bare_wanted)


def _alike(found: str, wanted: str) -> bool:
    """Word by word spelt nearly the same, plural or not; numbers the same.

    By words, as whole names hide the one that matters: "Number of female students" is 95 % "Number of male students".
    """
    from rapidfuzz.fuzz import ratio

    pairs = list(zip(_words(found), _words(wanted), strict=False))
    return len(pairs) == len(_words(found)) == len(_words(wanted)) > 0 and all(
        a == b or (not (a + b).isnumeric() and ratio(a.removesuffix("s"), b.removesuffix("s")) >= _ALIKE)
        for a, b in pairs
    )
