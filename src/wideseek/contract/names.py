"""Names as a user gives them: columns and key, from the command line or a list.

    read_names    "Name, Year" -> ["Name", "Year"]
    name_among    the column that a name of the key means

`BadInput` says what is wrong with them, and which column is nearest to a name that is none.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence

from wideseek.errors import BadInput
from wideseek.table import norm_column

_LIKELY = 60.0  # of 100: near enough to ask "did you mean"


def read_names(given: str | Sequence[str], what: str) -> list[str]:
    """The names in a comma-separated text or a list, stripped. Raises `BadInput` for none, an empty one, a double."""
    names = [name.strip() for name in (_split_names(given, what) if isinstance(given, str) else given)]
    if not any(names):
        raise BadInput(f"{what}: no name given; write them as in Name,Year,Country")
    seen: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise BadInput(f"{what}: name {number} of {len(names)} is empty")
        if (norm := norm_column(name)) in seen:
            raise BadInput(f"{what}: {name!r} is named twice" + (f" (as {seen[norm]!r})" if seen[norm] != name else ""))
        seen[norm] = name
    return names


def _split_names(text: str, what: str) -> list[str]:
    # Chinese questions come with Chinese commas.
    text = text if "," in text else text.replace("，", ",")
    try:
        return next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise BadInput(
            f"{what}: {error}; put a name that holds a comma in double quotes, and double its quotes"
        ) from error


def name_among(name: str, columns: Sequence[str]) -> str:
    """The column that `name` means. Raises `BadInput` naming the nearest if there is none."""
    if found := next((column for column in columns if norm_column(column) == norm_column(name)), None):
        return found
    from rapidfuzz.process import extractOne

    nearest = extractOne(norm_column(name), [norm_column(column) for column in columns])
    hint = f"did you mean {columns[nearest[2]]!r}?" if nearest[1] >= _LIKELY else "the key names one or more of them"
    raise BadInput(f"key: {name!r} is not among the columns ({', '.join(columns)}); {hint}")
