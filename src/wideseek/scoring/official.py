"""Mode `official`: WideSearch's published scorer (arXiv 2508.07999), its faults included.

    1 parse     the first fenced markdown block, else the first run of pipes; pandas infers the types of columns
    2 columns   sets of names have to be equal, if need be after one mapping by the judge; else everything is 0
    3 rows      as text; rows that repeat a raw key dropped on both sides; key columns mapped by the judge; every
                column preprocessed on both sides; inner join on the keys
    4 cells     a joined row's key cells are 1, the others by their metrics
    5 figures   see `metrics.py`; success also where both tables, sorted, are equal

Whatever raises inside gives 0 in all figures, as published (no joined row does, if a column's metric needs no judge).
Kept faults, each with the test that shows it: docs/scoring.md. Not kept, because they are about the surroundings: gold
tables are not mutated from one response to the next, and a gold that fails to load is an error, not a dropped task.
"""

from __future__ import annotations

from datetime import date
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

from wideseek.errors import BadInput
from wideseek.scoring.frames import fenced_blocks, load_pandas, pipe_lines, pipe_runs, read_pipes, texts
from wideseek.scoring.judge import Case, Judge, JudgeFailed
from wideseek.scoring.metrics import NOTHING_RIGHT, table_figures
from wideseek.scoring.official_cells import PREPARE, DateParser, comparison, date_parser, norm_date
from wideseek.scoring.spec import ColumnRule, Spec
from wideseek.table import norm_column

if TYPE_CHECKING:
    import pandas

Figures = dict[str, float]


async def official_figures(
    response: str, gold_csv: str, spec: Spec, judge: Judge, case: Case, today: date
) -> tuple[Figures, str | None]:
    """The seven figures of `metrics.FIGURES`, and why they are all 0 where that is not for want of right cells.

    Relative and incomplete dates are completed from `today`. Raises `BadInput` where pandas or dateparser are missing,
    `JudgeFailed` where the judge gives no verdict.
    """
    load_pandas()
    parse_date = date_parser(today)
    try:
        said = response_frame(response)
        if said is None:
            return dict(NOTHING_RIGHT), "no table in the response"
        return await _table_figures(said, gold_frame(gold_csv, spec), spec, judge, case, parse_date)
    except (JudgeFailed, BadInput):
        raise
    except Exception as error:  # as published: any failure inside scores 0, so this mode has to as well
        return dict(NOTHING_RIGHT), f"the scorer raised {type(error).__name__}: {error}"


def response_frame(response: str) -> pandas.DataFrame | None:
    """The table in the response, `None` where there is nothing like one."""
    blocks = fenced_blocks(response) or pipe_runs(response)
    if not blocks:
        return None
    lines = blocks[0].strip().split("\n")
    lines[0] = lines[0].replace(" ", "").lower()
    return read_pipes(pipe_lines(lines), keep_default_na=True)


def gold_frame(gold_csv: str, spec: Spec) -> pandas.DataFrame:
    """The gold table cut to the required columns."""
    frame = load_pandas().read_csv(StringIO(gold_csv))
    frame.columns = [norm_column(name) for name in frame.columns]
    return frame[spec.required].copy()


async def _table_figures(
    said: pandas.DataFrame, gold: pandas.DataFrame, spec: Spec, judge: Judge, case: Case, parse_date: DateParser
) -> tuple[Figures, str | None]:
    said.columns = [norm_column(name) for name in said.columns]
    if set(spec.required) != set(said.columns):
        said = said.rename(columns=await judge.map_columns(case, list(said.columns), spec.required))
    if set(spec.required) != set(said.columns):
        return dict(NOTHING_RIGHT), f"columns {list(said.columns)} instead of {spec.required}"
    said, gold = await _prepared(said, gold, spec, judge, case, parse_date)
    joined = gold.merge(said, on=spec.key, how="inner", suffixes=("_gold", "_said"))
    cells = await _cell_scores(joined, spec, judge, case, parse_date)
    figures = table_figures(
        float(cells.min(axis=1).sum()), float(cells.sum().sum()), len(said), len(gold), len(spec.required)
    )
    figures["score"] = max(figures["score"], float(_sorted_equal(said, gold, spec)))
    return figures, None


async def _prepared(
    said: pandas.DataFrame, gold: pandas.DataFrame, spec: Spec, judge: Judge, case: Case, parse_date: DateParser
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Both frames as preprocessed text, deduplicated on their raw keys, the response's keys mapped onto the gold's."""
    for name in spec.required:
        said[name], gold[name] = texts(said[name]), texts(gold[name])
    said, gold = said.drop_duplicates(subset=spec.key).copy(), gold.drop_duplicates(subset=spec.key).copy()
    mapped = [name for name in spec.key if {"exact_match", "llm_judge"} & set(spec.rules[name].metric)]
    for name in mapped:
        mapping = await judge.map_keys(case, name, said[name].tolist(), gold[name].tolist())
        # The published code keeps the column as it was beside the mapped one, so that no frame with such a key has the
        # shape of the gold's any more and the comparison of sorted frames never applies.
        said[f"{name}_before_map"] = said[name]
        said[name] = said[name].map(lambda key, mapping=mapping: mapping.get(key, key))
    for name in spec.required:
        for step in spec.rules[name].preprocess:
            prepare = partial(norm_date, parse_date=parse_date) if step == "norm_date" else PREPARE[step]
            said[name], gold[name] = said[name].map(prepare), gold[name].map(prepare)
    return said, gold


async def _cell_scores(
    joined: pandas.DataFrame, spec: Spec, judge: Judge, case: Case, parse_date: DateParser
) -> pandas.DataFrame:
    """One score per joined row and per required column and metric."""
    scores = load_pandas().DataFrame(index=joined.index)
    for name in spec.required:
        if name in spec.key:
            scores[name] = 1.0
            continue
        rule = spec.rules[name]
        for metric in rule.metric:
            if metric == "llm_judge":
                scores[f"{name}_{metric}"] = await _judged(joined, name, rule, judge, case)
            else:
                compare = comparison(metric, rule, parse_date)
                scores[f"{name}_{metric}"] = joined.apply(
                    lambda row, name=name, compare=compare: compare(row[f"{name}_said"], row[f"{name}_gold"]), axis=1
                )
    return scores


async def _judged(joined: pandas.DataFrame, name: str, rule: ColumnRule, judge: Judge, case: Case) -> list[Any]:
    """The judge's scores as they are, not checked (a fault); 0 where it gives none."""
    pairs = list(zip(joined[f"{name}_said"], joined[f"{name}_gold"], strict=True))
    scores = list(await judge.agree(case, name, pairs, str(rule.criterion)))
    return (scores + [0.0] * len(pairs))[: len(pairs)]


def _sorted_equal(said: pandas.DataFrame, gold: pandas.DataFrame, spec: Spec) -> bool:
    if said.shape != gold.shape:
        return False
    by_row = (frame.sort_values(by=spec.required).reset_index(drop=True) for frame in (said, gold))
    return bool(next(by_row).equals(next(by_row)))
