"""What a table task asks for and how each of its columns is compared, read from the task or derived from its gold.

    Spec         the key columns, the required columns, a rule per column; names as `norm_column` makes them
    ColumnRule   preprocess -> metric (with its criterion), as in WideSearch's `eval_pipeline`
    gold_table   the gold table, cut to nothing, in the spelling of the task

A task that brings no `evaluation` is compared by rules that follow from its gold cells (blank ones left aside):

    a key column, or years (whole numbers from 1000 to 2999)     norm_str        exact_match
    all numbers (1,234 · -1.5 · 12%)                             extract_number  number_near, criterion 0: equal value
    all dates in a common notation                               norm_date       date_near
    anything else                                                norm_str        exact_match

A column of text whose gold cells show codes (`007`, `01001`; versions such as 3.9 and 3.10) is compared as exact text,
whether its rule was given or derived: `ColumnRule.codes`.

The tolerance for derived numbers is 0 because nothing in a gold table says that 5 % off is right.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from wideseek.dates import common_date
from wideseek.errors import BadInput
from wideseek.records import Task
from wideseek.table import Table, find_tables, norm_column

PREPROCESS = ("norm_str", "extract_number", "norm_date")
METRICS = ("exact_match", "in_match", "url_match", "number_near", "date_near", "llm_judge")
SAME_MEANING = "Right if it means about the same as the reference, or names the same thing. The wording may differ."

_YEAR = re.compile(r"[12]\d{3}")
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?\s?%?")


class ColumnRule(msgspec.Struct, frozen=True):
    """How a column's cells are prepared and compared. `criterion` is a tolerance for numbers, a text for judges.

    `codes`: the cells are text even where they look like numbers, so that 007 is not 7.
    """

    preprocess: tuple[str, ...] = ("norm_str",)
    metric: tuple[str, ...] = ("exact_match",)
    criterion: float | str | None = None
    codes: bool = False


class _Evaluation(msgspec.Struct):
    """A task's `evaluation` as WideSearch writes it."""

    required: list[str] | None = None
    unique_columns: list[str] | None = None
    eval_pipeline: dict[str, Any] | None = None


class Spec(msgspec.Struct, frozen=True):
    """The columns of a table task. `key` is a part of `required`; there is a rule for every required column."""

    key: list[str]
    required: list[str]
    rules: dict[str, ColumnRule]

    @classmethod
    def of(cls, task: Task, gold: Table) -> Spec:
        """From `task.evaluation`, or derived from the gold table. Raises `BadInput` naming the task for a bad one."""
        try:
            given = msgspec.convert(task.evaluation or {}, _Evaluation)
        except msgspec.ValidationError as error:
            raise BadInput(f"task {task.instance_id}: evaluation: {error}") from error
        required = _names(given.required or task.required or gold.columns)
        key = _names(given.unique_columns or task.unique_columns) or required[:1]
        normed = [norm_column(name) for name in gold.columns]
        for name in required:
            if name not in normed:
                raise BadInput(
                    f"task {task.instance_id}: its gold table lacks the required column {name!r}; "
                    f"it has: {', '.join(map(repr, gold.columns)) or 'none'}"
                )
        for name in key:
            if name not in required:
                raise BadInput(
                    f"task {task.instance_id}: the key column {name!r} is not among the required ones: "
                    f"{', '.join(map(repr, required))}"
                )
        pipeline = {norm_column(name): rule for name, rule in (given.eval_pipeline or {}).items()}
        rules = {}
        for name in required:
            cells = [row[normed.index(name)] for row in gold.rows]
            given_rule = _given_rule(task, name, pipeline[name]) if name in pipeline else None
            rule = given_rule or _derived_rule(name, cells, is_key=name in key)
            rules[name] = msgspec.structs.replace(
                rule, codes=rule.codes or (_is_text(rule) and _shows_codes(name, cells))
            )
        return cls(key, required, rules)


def gold_table(task: Task) -> Table:
    """The gold table: from `meta["answer_csv"]` where a loader put the published CSV there, else from `answer`.

    Raises `BadInput` naming the task where there is none.
    """
    csv = task.meta.get("answer_csv")
    if isinstance(csv, str):
        try:
            return Table.from_csv(csv.removeprefix("\ufeff"))
        except BadInput as error:
            raise BadInput(f"task {task.instance_id}: its gold table: {error}") from error
    tables = find_tables(task.answer) if isinstance(task.answer, str) else []
    if not tables:
        raise BadInput(f"task {task.instance_id}: no gold table to score against: `answer` has to hold one")
    return tables[-1]


def _names(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(map(norm_column, names)))


def _given_rule(task: Task, column: str, given: Any) -> ColumnRule:
    try:
        rule = msgspec.convert(given, ColumnRule)
    except msgspec.ValidationError as error:
        raise BadInput(f"task {task.instance_id}: evaluation of column {column!r}: {error}") from error
    for name, known in [*((name, PREPROCESS) for name in rule.preprocess), *((name, METRICS) for name in rule.metric)]:
        if name not in known:
            raise BadInput(
                f"task {task.instance_id}: evaluation of column {column!r}: {name!r} is none of {', '.join(known)}"
            )
    if "number_near" in rule.metric and not _is_tolerance(rule.criterion):
        raise BadInput(
            f"task {task.instance_id}: evaluation of column {column!r}: the criterion of number_near has to be a "
            f"number from 0 on, such as 0.05; it is {rule.criterion!r}"
        )
    return rule


def _is_tolerance(criterion: float | str | None) -> bool:
    try:
        return math.isfinite(float(criterion or 0.0)) and float(criterion or 0.0) >= 0
    except ValueError:
        return False


def _derived_rule(column: str, cells: Sequence[str], *, is_key: bool) -> ColumnRule:
    filled = [cell.strip() for cell in cells if cell.strip()]
    if is_key or not filled or all(map(_YEAR.fullmatch, filled)):
        return ColumnRule()
    if all(map(_NUMBER.fullmatch, filled)) and not _shows_codes(column, cells):
        return ColumnRule(("extract_number",), ("number_near",), 0.0)
    if all(map(common_date, filled)):
        return ColumnRule(("norm_date",), ("date_near",))
    return ColumnRule()


def _is_text(rule: ColumnRule) -> bool:
    return not {"extract_number", "norm_date"} & set(rule.preprocess) and not {"number_near", "date_near"} & set(
        rule.metric
    )


_LEADING_ZERO = re.compile(r"0\d[\d -]*")
_VERSION = re.compile(r"[vV]\.?\s?\d+(?:\.\d+)*\w*|\d+(?:\.\d+){2,}")
_GROUPED = re.compile(r"\d{1,3}(?:\.\d{3})+")  # 1.234.567, as in German
_DECIMALS = re.compile(r"\d+\.(\d+)")
_VERSION_NAME = re.compile(r"version|版本|バージョン|버전")


def _shows_codes(column: str, cells: Sequence[str]) -> bool:
    """Whether the cells of a column show that what looks like a number is a code.

    One leading zero shows it, one version (`3.1.2`, `v3`), the column's name, or decimals as nobody writes them: 3.9
    beside 3.10, where a zero at the end stands behind more digits than another cell has.
    """
    filled = [cell.strip() for cell in cells]
    if _VERSION_NAME.search(column) or any(map(_LEADING_ZERO.fullmatch, filled)):
        return True
    if any(_VERSION.fullmatch(cell) and not (_GROUPED.fullmatch(cell) or common_date(cell)) for cell in filled):
        return True
    decimals = [match[1] for match in map(_DECIMALS.fullmatch, filled) if match]
    fewest = min(map(len, decimals), default=0)
    return any(digits.endswith("0") and len(digits) > max(fewest, 1) for digits in decimals)
