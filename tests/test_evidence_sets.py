"""The evidence check on cells whose truth is known (bench/evidence_cases.py): floors for true ones, ceilings for wrong.

The bench measures the same and more: `python bench/evidence.py`.
"""

from __future__ import annotations

from functools import cache

import pytest
from evidence_cases import (
    OTHER_COLUMN,
    OTHER_NUMBER,
    OTHER_ROW,
    TRUE,
    Counts,
    counted,
    pocket,
    read_records,
    record_sets,
    records,
    share,
)

POCKET_TASKS = 80
WRONG_SUPPORTED = {"attacks": 0.10, "attacks_new": 0.20, "unseen": 0.10, "fresh": 0.10, "notation": 0.02}
TRUE_SUPPORTED = {"attacks_new": 0.90, "unseen": 0.80, "fresh": 0.45, "notation": 0.95}
POCKET_TRUE = 0.99
POCKET_WRONG = {OTHER_NUMBER: 0.03, OTHER_COLUMN: 0.005, OTHER_ROW: 0.003}


@cache
def pocket_counts() -> Counts:
    return counted(pocket(POCKET_TASKS))


def test_every_record_can_be_read_and_names_one_cell_with_a_value():
    assert record_sets() == ["attacks", "attacks_new", "fresh", "notation", "unseen"]
    for record in (record for name in record_sets() for record in read_records(name)):
        row, column = record.cell
        assert record.rows[row][column].strip(), record.name
        assert set(record.key) <= set(record.columns), record.name
        assert all(len(row) == len(record.columns) for row in record.rows), record.name
        assert record.wanted, record.name


@pytest.mark.parametrize("name", WRONG_SUPPORTED)
def test_few_wrong_cells_are_supported(name):
    assert share(counted(records(name))["wrong"]) <= WRONG_SUPPORTED[name]


@pytest.mark.parametrize("name", TRUE_SUPPORTED)
def test_most_true_cells_are_supported(name):
    assert share(counted(records(name))[TRUE]) >= TRUE_SUPPORTED[name]


def test_true_cells_of_the_pocket_world_are_supported():
    assert share(pocket_counts()[TRUE]) >= POCKET_TRUE


@pytest.mark.parametrize("kind", POCKET_WRONG)
def test_wrong_cells_of_the_pocket_world_are_not_supported(kind):
    levels = pocket_counts()[kind]
    assert levels.total() > 100
    assert share(levels) <= POCKET_WRONG[kind]
