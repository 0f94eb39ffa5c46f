"""Precision, recall and F1 of a table, by row and by item.

rows    true positives = sum over joined rows of their worst cell;   out of the rows of response and gold
items   true positives = sum over joined rows of all their cells;    out of rows x required columns

F1 = 2 P R / (P + R)          success = 1 if all six figures are 1
"""

from __future__ import annotations

ROWS = ("precision_by_row", "recall_by_row", "f1_by_row")
ITEMS = ("precision_by_item", "recall_by_item", "f1_by_item")
FIGURES = ("score", *ROWS, *ITEMS)
NOTHING_RIGHT = dict.fromkeys(FIGURES, 0.0)


def table_figures(
    right_rows: float, right_items: float, said_rows: int, gold_rows: int, columns: int
) -> dict[str, float]:
    """The seven figures of `FIGURES`; `score` is success."""
    by_row = precision_recall_f1(right_rows, said_rows, gold_rows)
    by_item = precision_recall_f1(right_items, said_rows * columns, gold_rows * columns)
    success = float(all(figure == 1.0 for figure in by_row + by_item))
    return dict(zip(FIGURES, (success, *by_row, *by_item), strict=True))


def precision_recall_f1(right: float, said: int, gold: int) -> tuple[float, float, float]:
    """The three figures for `right` true positives among `said` and `gold` ones."""
    precision = right / said if said else 0.0
    recall = right / gold if gold else 0.0
    return precision, recall, f1(precision, recall)


def f1(precision: float, recall: float) -> float:
    """The harmonic mean; 0 where both are (nearly) 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall > 1e-9 else 0.0
