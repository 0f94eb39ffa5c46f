"""The output contract of `ask`: which columns the table has, and which of them name a row.

    Contract.parse       from `--columns "Name,Year,Country" --key Name`
    Contract.of_model    from a pydantic model
    contract.conform     a model's table as the contract wants it, and notes on what was repaired
    contract.typed       its rows as instances of the pydantic model, and notes on rows that do not validate

A note is one short sentence for the user. What could be repaired without a doubt (order of columns, case and spaces in
their names) goes without one.
"""

from __future__ import annotations

import csv
import re
import types
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from wideseek.errors import BadInput
from wideseek.table import Row, Table, first_filled, fold, norm_column, norm_key, rows_by_key

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

M = TypeVar("M", bound="BaseModel")


class Contract(msgspec.Struct, frozen=True):
    """The columns of the wanted table in order, no two alike, and the key: those among them that name a row.

    `assumed_key` says that nobody named the key and the first column stands in. Rows that share an assumed key but
    differ elsewhere are kept apart: better a row too many than two facts merged into one.
    """

    columns: list[str]
    key: list[str]
    assumed_key: bool = False

    @classmethod
    def parse(cls, columns: str | Sequence[str], key: str | Sequence[str] | None = None) -> Contract:
        """The contract as the command line has it: names parted by commas, in double quotes if they hold one.

        The key's names need only agree with the columns' in `norm_column`. Raises `BadInput` for an empty name, a column
        named twice, and a key that is not among the columns (naming the nearest).
        """
        names = _names(columns, "columns")
        if key is None:
            return cls(names, names[:1], assumed_key=True)
        return cls(names, [_among(name, names) for name in _names(key, "key")])

    @classmethod
    def of_model(cls, model: type[BaseModel]) -> Contract:
        """The contract of a pydantic model: a column a field, called by its title, else its alias, else its name.

        The key is the fields marked `Field(json_schema_extra={"key": True})`, else the first field is assumed.
        Raises `BadInput` for a class that is not a model or has no fields, and for two fields with one column name.
        """
        fields = _fields(model)
        names = [_column_name(name, field) for name, field in fields.items()]
        marked = [_column_name(name, field) for name, field in fields.items() if _is_key(field)]
        return cls.parse(names, marked or None)

    def conform(self, table: Table) -> tuple[Table, list[str]]:
        """The table with exactly the contract's columns and one row a key, and notes on what changed.

        * Columns are matched by name: exactly, else by `norm_column`, else by letters and digits alone, else without a
          remark in brackets ("Revenue (USD)"), else by likeness; never two to one. What is missing becomes empty cells,
          what was not asked for is left out, a doubled column gives the first filled cell of each row.
        * Rows with an empty key are left out, unless every row's is; rows that repeat a key become one, each cell the
          first that is filled.

        Conforming a second time changes nothing.
        """
        sources, notes = _column_sources(table, self.columns)
        rows = [[first_filled(row[i] for i in indices) for indices in sources] for row in table.rows]
        named, key_notes = self._rows_with_key(rows)
        merged, merge_notes = self._rows_merged(named)
        return Table(list(self.columns), merged), [*notes, *key_notes, *merge_notes]

    def typed(self, table: Table, model: type[M]) -> tuple[list[M], list[str]]:
        """One validated instance a row, and notes: `conform`'s, and one for every row left out, with key and reason.

        `model` is the one that gave the contract (`of_model`). Cells are cleaned before pydantic sees them, by the
        field's type and never by guessing:

        * empty, and for all but text also `-`, `/`, `N/A`, `unknown` and the like: the field's default, else `None` if
          it may be, else an empty list or text if it is one, else the row does not validate;
        * numbers: bold marks and footnotes (`[3]`) removed, `1,234` is 1234, `12 %` is 12 (the number as written, not
          0.12); a decimal comma, a unit or a currency makes the row invalid;
        * dates: ISO, `12 May 2020`, `May 12, 2020`, `2020/05/12`, `2020年5月12日`; not `05/12/2020`, which may be
          either, nor a lone year;
        * bool: also `✓` `✗` `是` `否`; lists: parted at line ends and semicolons, else at commas.
        """
        table, notes = self.conform(table)
        fields = _fields(model)
        columns = [(table.columns.index(_column_name(name, field)), name, field) for name, field in fields.items()]
        instances: list[M] = []
        for row in table.rows:
            cells = {name: row[i] for i, name, _ in columns}
            instance, problems = _validated(model, cells)
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
            return named, [f"{_count(lost, 'row')} without a key ({names}) left out."]
        filled = [row for row in rows if any(map(str.strip, row))]
        return filled, [f"No row has a key ({names}): rows were kept as they are."] if filled else []

    def _rows_merged(self, rows: list[Row]) -> tuple[list[Row], list[str]]:
        """One row a key, with a note for every key that came more than once."""
        merged: list[Row] = []
        notes: list[str] = []
        for group in rows_by_key(rows, self._key_indices):
            conflicts = list(_conflicts(self.columns, group))
            key = self._key_text(group[0])
            if conflicts and self.assumed_key:
                kept = _distinct(group)
                merged += kept
                notes.append(f"{len(kept)} rows share the key {key} but differ; they were kept apart (no key was named).")
                continue
            merged.append(fold(group))
            if len(group) > 1:
                notes.append(f"{len(group)} rows for {key} were merged" + "".join(f"; {c}" for c in conflicts) + ".")
        return merged, notes


def _conflicts(columns: Sequence[str], rows: Sequence[Row]) -> Iterable[str]:
    """For each column in which rows of one key hold different values: what was kept and what was not."""
    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        values = {norm_key(cell): cell for cell in reversed(cells) if cell.strip()}
        kept = first_filled(cells)
        if others := [repr(cell) for norm, cell in reversed(values.items()) if norm != norm_key(kept)]:
            yield f"{column}: {kept!r} kept, not {', '.join(others)}"


def _distinct(rows: Iterable[Row]) -> list[Row]:
    return [list(row) for row in dict.fromkeys(map(tuple, rows))]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} was" if number == 1 else f"{number} {noun}s were"


# ---------------------------------------------------------------------------------------------------------------- names


def _names(given: str | Sequence[str], what: str) -> list[str]:
    """The names in a comma-separated text or a list, stripped. Raises `BadInput` for none, an empty one, or two alike."""
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
        raise BadInput(f"{what}: {error}; put a name that holds a comma in double quotes, and double its quotes") from error


def _among(name: str, columns: Sequence[str]) -> str:
    """The column that `name` means. Raises `BadInput` naming the nearest if there is none."""
    if found := next((column for column in columns if norm_column(column) == norm_column(name)), None):
        return found
    from rapidfuzz.process import extractOne

    nearest = extractOne(norm_column(name), [norm_column(column) for column in columns])
    hint = f"did you mean {columns[nearest[2]]!r}?" if nearest[1] >= _LIKELY else "the key names one or more of them"
    raise BadInput(f"key: {name!r} is not among the columns ({', '.join(columns)}); {hint}")


# -------------------------------------------------------------------------------------------------------------- columns

_LIKELY = 60.0  # of 100: near enough to ask "did you mean"
_ALIKE = 88.0  # of 100: near enough to be taken for the same ("Year" and "Years" are 89, "Birth date" and "Death date" 80)


def _column_sources(table: Table, wanted: Sequence[str]) -> tuple[list[list[int]], list[str]]:
    """For each wanted column the indices of the table's columns that give its cells, and notes."""
    found = table.columns
    sources = [[i for i, name in enumerate(found) if norm_column(name) == norm_column(column)] for column in wanted]
    notes = [_doubling_note(table, column, indices) for column, indices in zip(wanted, sources, strict=True) if indices[1:]]
    for same in (_same_letters, _same_but_for_brackets, _alike):
        open_wanted = [w for w, indices in enumerate(sources) if not indices]
        taken = {i for indices in sources for i in indices}
        open_found = [i for i in range(len(found)) if i not in taken]
        pairs = [(w, i) for w in open_wanted for i in open_found if same(found[i], wanted[w])]
        for w, i in _unrivalled(pairs):
            sources[w] = [i]
            notes.append(f"Column {found[i]!r} was read as {wanted[w]!r}.")
    taken = {i for indices in sources for i in indices}
    notes += [f"Column {wanted[w]!r} is missing; its cells are empty." for w, indices in enumerate(sources) if not indices]
    notes += [f"Column {name!r} was not asked for and was left out." for i, name in enumerate(found) if i not in taken]
    return sources, notes


def _unrivalled(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs whose two members occur in no other pair: where two compete, neither is taken."""
    wanted, found = [w for w, _ in pairs], [i for _, i in pairs]
    return [(w, i) for w, i in pairs if wanted.count(w) == 1 and found.count(i) == 1]


def _doubling_note(table: Table, column: str, indices: list[int]) -> str:
    differ = sum(len({norm_key(row[i]) for i in indices if row[i].strip()}) > 1 for row in table.rows)
    note = f"Column {column!r} came {len(indices)} times; the first filled cell of each row was kept"
    return f"{note} ({_count(differ, 'row').rpartition(' ')[0]} differed)." if differ else f"{note}."


def _letters(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _digits(name: str) -> list[str]:
    return re.findall(r"\d+", name)


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
    """Spelt nearly the same, with the same numbers: "Population 2010" is not "Population 2020"."""
    from rapidfuzz.fuzz import ratio

    return _digits(found) == _digits(wanted) and ratio(_letters(found), _letters(wanted)) >= _ALIKE


# ---------------------------------------------------------------------------------------------------------- typed rows


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    from pydantic import BaseModel

    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise BadInput(f"schema: {model!r} is not a pydantic model class")
    if not model.model_fields:
        raise BadInput(f"schema: the model {model.__name__} has no fields")
    return model.model_fields


def _column_name(name: str, field: FieldInfo) -> str:
    return field.title or field.alias or name


def _is_key(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("key") is True


def _validated(model: type[M], cells: dict[str, str]) -> tuple[M | None, list[str]]:
    """The instance that the cells (by field name) make, or `None` and the problems, one a cell."""
    from pydantic import ValidationError

    fields = model.model_fields
    inputs = {_input_name(name, field): name for name, field in fields.items()}
    data: dict[str, Any] = {}
    problems: list[str] = []
    for input_name, name in inputs.items():
        try:
            if (value := _cleaned(cells[name], fields[name])) is not _ABSENT:
                data[input_name] = value
        except ValueError as error:
            problems.append(f"{_column_name(name, fields[name])}: {error}")
    if problems:
        return None, problems
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, [_problem(details, inputs, fields, cells) for details in error.errors(include_url=False)]
