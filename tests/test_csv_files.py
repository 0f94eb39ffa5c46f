"""The CSV files that studies write, and that no other place of the package writes CSV."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

import wideseek
from wideseek.evals.page import csv_text
from wideseek.table.exchange import text_as_formula

PACKAGE = Path(wideseek.__file__).parent


def test_text_that_begins_a_formula_is_quoted_and_numbers_stay_numbers() -> None:
    values = {"=arm": "=cmd|'x'!A1", "a": "-5", "b": "+3.2", "c": -5, "d": -0.25, "e": None, "f": "@SUM(1)", "g": -1e-9}
    head, row = csv.reader(io.StringIO(csv_text(list(values), [values])))
    assert head == ["'=arm", *"abcdefg"]
    assert row == ["'=cmd|'x'!A1", "-5", "+3.2", "-5", "-0.25", "", "'@SUM(1)", "-1e-09"]
    assert [text_as_formula(cell) for cell in row[:1]] == ["=cmd|'x'!A1"]


def test_csv_is_written_in_the_two_places_that_keep_formulas_from_spreadsheets() -> None:
    writers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("writer", "DictWriter", "to_csv")
        if isinstance(node.value, ast.Name) and node.value.id == "csv"
    }
    assert writers == {"evals/page.py", "table/exchange.py"}
