"""The output contract of `ask`: which columns the table has, and which of them name a row.

    Contract.parse       from `--columns "Name,Year,Country" --key Name`
    Contract.of_model    from a pydantic model
    contract.conform     a model's table as the contract wants it, and notes on what was repaired
    contract.typed       its rows as instances of the pydantic model, and notes on rows that do not validate

    names.py             the names that the user gives
    columns.py           a table's columns matched to the wanted ones
    merging.py           rows of one key: one row, or several that differ
    typed.py, cells.py   rows as instances of a model, cells as values

A note is one short sentence for the user. What could be repaired without a doubt (order of columns, case and spaces in
their names) goes without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from wideseek.contract.columns import column_sources, row_count
from wideseek.contract.merging import merged_rows
from wideseek.contract.names import name_among, read_names
from wideseek.contract.typed import M, column_name, is_key, model_fields, validated
from wideseek.table import Row, Table, first_filled, norm_key, rows_by_key

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Contract"]


class Contract(msgspec.Struct, frozen=True):
    """The columns of the wanted table in order, no two alike, and the key: those among them that name a row.

    `assumed_key` says that nobody named the key and the first column stands in. Rows that share a key but differ
    elsewhere are kept apart: better a row too many than two facts merged into one.
    """

    columns: list[str]
    key: list[str]
    assumed_key: bool = False

    @classmethod
    def parse(cls, columns: str | Sequence[str], key: str | Sequence[str] | None = None) -> Contract:
        """The contract as the command line has it: names parted by commas, in double quotes if they hold one.

        The key's names need only agree with the columns' in `norm_column`. Raises `BadInput` for an empty name, a
        column named twice, and a key that is not among the columns (naming the nearest).
        """
        names = read_names(columns, "columns")
        if key is None:
            return cls(names, names[:1], assumed_key=True)
        return cls(names, [name_among(name, names) for name in read_names(key, "key")])

    @classmethod
    def of_model(cls, model: type[BaseModel]) -> Contract:
        """The contract of a pydantic model: a column a field, called by its title, else its alias, else its name.

        The key is the fields marked `Field(json_schema_extra={"key": True})`, else the first field is assumed.
        Raises `BadInput` for a class that is not a model or has no fields, and for two fields with one column name.
        """
        fields = model_fields(model)
        names = [column_name(name, field) for name, field in fields.items()]
        marked = [column_name(name, field) for name, field in fields.items() if is_key(field)]
        return cls.parse(names, marked or None)

    def conform(self, table: Table) -> tuple[Table, list[str]]:
        """The table with exactly the contract's columns and its rows merged by key, and notes on what changed.

        * Columns are matched by name: exactly, else by `norm_column`, else by letters and digits alone, else without a
          remark in brackets ("Revenue (USD)"), else by likeness; never two to one. A key that none is like is read from
          the first column. What is missing becomes empty cells, what was not asked for is left out, a doubled column
          gives the first filled cell of each row.
        * Rows with an empty key are left out, unless every row's is; rows that repeat a key become one, each cell the
          first that is filled, if no cell of theirs differs. Rows that differ are kept (`merging.py` has the rule).

        Conforming a second time changes nothing.
        """
        sources, notes = column_sources(table, self.columns, self.key[0])
        rows = [[first_filled(row[i] for i in indices) for indices in sources] for row in table.rows]
        named, key_notes = self._rows_with_key(rows)
        merged, merge_notes = self._rows_merged(named)
        return Table(list(self.columns), merged), [*notes, *key_notes, *merge_notes]

    def typed(self, table: Table, model: type[M]) -> tuple[list[M], list[str]]:
        """One validated instance a row, and notes: `conform`'s, and one for every row left out, with key and reason.

        `model` is the one that gave the contract (`of_model`); `BadInput` if it has other columns. Cells are cleaned
        before pydantic sees them, by the field's type and never by guessing:

        * empty, and for all but text also `-`, `/`, `N/A`, `unknown` and the like: the field's default, else `None` if
          it may be, else an empty list or text if it is one, else the row does not validate;
        * numbers: bold marks and footnotes (`[3]`) removed, `1,234` is 1234, `12 %` is 12 (the number as written, not
          0.12); a decimal comma, a unit or a currency makes the row invalid;
        * dates: ISO, `12 May 2020`, `May 12, 2020`, `2020/05/12`, `2020年5月12日`; not `05/12/2020`, which may be
          either, nor a lone year;
        * bool: also `✓` `✗` `是` `否`; lists: parted at line ends and semicolons, else at commas.
        """
        table, notes = self.conform(table)
        fields = model_fields(model)
        by_field = table.select([column_name(name, field) for name, field in fields.items()])
        instances: list[M] = []
        for row, cells in zip(table.rows, by_field.rows, strict=True):
            instance, problems = validated(model, dict(zip(fields, cells, strict=True)))
            if instance is None:
                notes.append(f"Row {self._key_text(row)} was left out: {'; '.join(problems)}.")
            else:
                instances.append(instance)
        return instances, notes

    # ------------------------------------------------------------------------------------------------------------ rows

    @property
    def _key_indices(self) -> list[int]:
        return [self.columns.index(name) for name in self.key]

    def _key_text(self, row: Row) -> str:
        return " / ".join(repr(row[i]) for i in self._key_indices)

    def _rows_with_key(self, rows: list[Row]) -> tuple[list[Row], list[str]]:
        """The rows that have a key; all that are not blank where none has one."""
        named = [row for row in rows if any(norm_key(row[i]) for i in self._key_indices)]
        lost = len(rows) - len(named)
        names = ", ".join(map(repr, self.key))
        if not lost:
            return named, []
        if named:
            return named, [f"{row_count(lost)} without a key ({names}) left out."]
        filled = [row for row in rows if any(map(str.strip, row))]
        blank = len(rows) - len(filled)
        notes = [f"No row has a key ({names}): rows were kept as they are."] if filled else []
        return filled, notes + ([f"{row_count(blank)} without any of the columns left out."] if blank else [])

    def _rows_merged(self, rows: list[Row]) -> tuple[list[Row], list[str]]:
        """One row a key where the key's rows agree, with a note for every key that came more than once."""
        merged: list[Row] = []
        notes: list[str] = []
        for group in rows_by_key(rows, self._key_indices):
            kept = merged_rows(group)
            merged += kept
            if len(kept) > 1:
                notes.append(self._kept_apart(kept))
            elif len(group) > 1:
                notes.append(f"{len(group)} rows for {self._key_text(group[0])} were merged.")
        return merged, notes

    def _kept_apart(self, rows: Sequence[Row]) -> str:
        cells = zip(self.columns, zip(*rows, strict=True), strict=True)
        differ = [column for column, said in cells if len({norm_key(cell) for cell in said if cell.strip()}) > 1]
        why = " (no key was named)" if self.assumed_key else ""
        return (
            f"{len(rows)} rows share the key {self._key_text(rows[0])} but differ in {', '.join(differ)}; they were "
            f"kept apart{why}."
        )
