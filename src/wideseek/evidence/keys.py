"""Which columns of a table name its rows, where nobody has said so."""

from __future__ import annotations

from wideseek.table import Table


def key_columns(table: Table) -> list[str]:
    """The columns that tell the rows apart, by name; none for a table without columns."""
    return table.columns[:1]
