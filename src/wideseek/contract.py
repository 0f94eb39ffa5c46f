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
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from wideseek.errors import BadInput
from wideseek.table import Row, Table, first_filled, fold, norm_column, norm_key, rows_by_key

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

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

        The key's names need only agree with the columns' in `norm_column`. Raises `BadInput` for an empty name, a
        column named twice, and a key that is not among the columns (naming the nearest).
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
        fields = _fields(model)
        by_field = table.select([_column_name(name, field) for name, field in fields.items()])
        instances: list[M] = []
        for row, cells in zip(table.rows, by_field.rows, strict=True):
            instance, problems = _validated(model, dict(zip(fields, cells, strict=True)))
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
            return named, [f"{_rows(lost)} without a key ({names}) left out."]
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
                notes.append(
                    f"{len(kept)} rows share the key {key} but differ; they were kept apart (no key was named)."
                )
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


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


# ---------------------------------------------------------------------------------------------------------------- names


def _names(given: str | Sequence[str], what: str) -> list[str]:
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
_ALIKE = 93.0  # of 100: one slip in a long word; "Country" and "County" are 92


def _column_sources(table: Table, wanted: Sequence[str]) -> tuple[list[list[int]], list[str]]:
    """For each wanted column the indices of the table's columns that give its cells, and notes."""
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
    return f"{note} ({_rows(differ)} differed)." if differ else f"{note}."


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


def _input_name(name: str, field: FieldInfo) -> str:
    """What the field is called in the data to validate: its alias, the first of several, else its name."""
    alias = field.validation_alias
    choices = [alias, *getattr(alias, "choices", ())]
    return next((choice for choice in choices if isinstance(choice, str)), name)


def _problem(details: ErrorDetails, inputs: dict[str, str], fields: dict[str, FieldInfo], cells: dict[str, str]) -> str:
    name = inputs.get(str(details["loc"][0])) if details["loc"] else None
    if name is None:  # a validator of the whole model
        return details["msg"]
    return f"{_column_name(name, fields[name])}: {details['msg']} (the cell is {_shortened(cells[name])})"


def _shortened(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:59] + "…")


# ------------------------------------------------------------------------------------------------------ cells to values

_ABSENT = object()  # leave the field out, so that its default counts
_UNKNOWN = {"", "-", "–", "—", "/", "?", "n/a", "na", "nan", "none", "null", "unknown", "未知", "无"}
_FOOTNOTES = re.compile(r"(?:\s*\[\d+\])+$")
_NUMBER = re.compile(r"([+-]?)(\d+|\d{1,3}(?:([,\u00a0\u2009\u202f])\d{3})(?:\3\d{3})*)(\.\d+)?\s*[%％]?")
_TRUE, _FALSE = {"true", "yes", "y", "1", "✓", "✔", "✅", "是"}, {"false", "no", "n", "0", "✗", "✘", "✕", "❌", "否"}
_DAYS = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%Y/%m/%d", "%Y年%m月%d日")


def _cleaned(cell: str, field: FieldInfo) -> Any:
    """The value to validate for a field's cell, or `_ABSENT`. Raises `ValueError` for a cell that has none."""
    kind, optional = _plain_type(field.annotation)
    items = get_origin(kind) in _COLLECTIONS or kind in _COLLECTIONS
    if not _says_nothing(cell, items or kind in _CLEANERS):
        return _cleaned_items(cell, kind) if items else _cleaned_value(cell, kind)
    if not field.is_required():
        return _ABSENT
    if optional:
        return None
    if items or kind is str:
        return [] if items else ""
    raise ValueError("the cell is empty" if not cell.strip() else f"{cell.strip()!r} gives no value")


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """The type inside `Annotated` and `Optional`, and whether `None` is allowed. A union of several stays as it is."""
    if get_origin(annotation) is Annotated:
        return _plain_type(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    members = [member for member in get_args(annotation) if member is not types.NoneType]
    optional = len(members) < len(get_args(annotation))
    return (_plain_type(members[0])[0] if len(members) == 1 else annotation), optional


def _says_nothing(cell: str, typed: bool) -> bool:
    """Whether a cell holds no value. For text and literals only the empty cell does: "N/A" may be a wanted answer."""
    return _bare(cell).casefold() in _UNKNOWN if typed else not cell.strip()


def _bare(cell: str) -> str:
    """The cell without footnotes and marks of emphasis around it."""
    return _FOOTNOTES.sub("", cell.strip().strip("*_`")).strip("*_` \n\t")


def _cleaned_value(cell: str, kind: Any) -> Any:
    return _CLEANERS[kind](_bare(cell)) if kind in _CLEANERS else cell


def _cleaned_items(cell: str, kind: Any) -> list[Any]:
    """The cell's items, parted at line ends and semicolons if it has any, else at commas, each cleaned by its type."""
    inner = _plain_type(next(iter(get_args(kind)), str))[0]
    # In numbers a comma that no space follows parts thousands.
    comma = r",\s+|[，、]" if inner in _CLEANERS else r"[,，、]"
    separator = r"[\n;；]" if re.search(r"[\n;；]", cell) else comma
    return [_cleaned_value(item.strip(), inner) for item in re.split(separator, cell) if item.strip()]


def _plain_number(text: str) -> str | None:
    """The number without thousands separators and percent sign; `None` for what is not just a number."""
    match = _NUMBER.fullmatch(text.replace("−", "-"))
    if match is None:
        return None
    sign, whole, separator, fraction = match.groups(default="")
    return sign + (whole.replace(separator, "") if separator else whole) + fraction


# What is no number, and no yes or no, goes to pydantic as it is: it says best what is wrong.


def _number(text: str) -> int | float | str:
    plain = _plain_number(text)
    if plain is None:
        return text
    return float(plain) if "." in plain else int(plain)


def _decimal(text: str) -> Decimal | str:
    plain = _plain_number(text)
    return text if plain is None else Decimal(plain)


def _truth(text: str) -> bool | str:
    word = text.casefold()
    return word in _TRUE if word in _TRUE | _FALSE else text


def _moment(text: str) -> datetime:
    for form in (None, *_DAYS):
        with suppress(ValueError):
            return datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    raise ValueError(f"{text!r} is not a date that can be read without guessing")


def _day(text: str) -> date:
    # Not pydantic's reading: it takes "1990" for seconds since 1970.
    return _moment(text).date()


_CLEANERS: dict[Any, Callable[[str], Any]] = {
    int: _number,
    float: _number,
    Decimal: _decimal,
    bool: _truth,
    date: _day,
    datetime: _moment,
}
_COLLECTIONS = (list, set, frozenset, tuple, Sequence)
