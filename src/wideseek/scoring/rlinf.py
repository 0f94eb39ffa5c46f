r"""Mode `rlinf`: the reward that RLinf's `wideseek_r1` trains on, its faults included.

    1 parse     the *last* fenced markdown block after the last `</think>`; without a fence there is no answer
    2 columns   the required ones have to be among the response's, if need be after one mapping by the judge
    3 rows      as text, each column's numbers rewritten as `f"{x:g}"` as soon as one cell of it is a number: text in
                that column becomes blank and 1234567 becomes 1.23457e+06 (faults); rows that repeat a raw key dropped
                on both sides; all key columns mapped by the judge; inner join
    4 cells     key cells are 1, all others by the judge under one fixed criterion
    5 figures   item precision, recall, F1; the reward is F1, and exceeds 1 where rows multiply in the join (a fault)

The gold table is the task's `answer`, read the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wideseek.errors import BadInput
from wideseek.scoring.frames import fenced_blocks, load_pandas, pipe_lines, pipe_runs, read_pipes, texts
from wideseek.scoring.judge import Case, Judge, JudgeFailed
from wideseek.scoring.metrics import ITEMS, precision_recall_f1
from wideseek.scoring.spec import SAME_MEANING, Spec
from wideseek.table import norm_column

if TYPE_CHECKING:
    import pandas

NO_FORMAT = dict.fromkeys(ITEMS, 0.0)


async def rlinf_figures(
    response: str, gold: str, spec: Spec, judge: Judge, case: Case
) -> tuple[dict[str, float], str | None]:
    """The three item figures; all 0 and the reason where the format is not right.

    Raises `BadInput` where pandas is missing, `JudgeFailed` where the judge gives no verdict.
    """
    load_pandas()
    try:
        said_frame, gold_frame = answer_frame(response, fenced=True), answer_frame(gold, fenced=False)
        if gold_frame is None or said_frame is None or said_frame.empty:
            return dict(NO_FORMAT), "no fenced markdown table with rows"
        return await _item_figures(said_frame, gold_frame, spec, judge, case)
    except (JudgeFailed, BadInput):
        raise
    except Exception as error:  # as published: any failure inside is a wrong format
        return dict(NO_FORMAT), f"the scorer raised {type(error).__name__}: {error}"


def answer_frame(text: str, *, fenced: bool) -> pandas.DataFrame | None:
    """The last table in the text, or `None`; a table without a fence counts only where `fenced` is not asked for."""
    text = text.split("</think>")[-1].strip()
    blocks = fenced_blocks(text) or ([] if fenced else pipe_runs(text))
    lines = pipe_lines(blocks[-1].strip().split("\n")) if blocks else []
    if not lines:
        return None
    try:
        frame = read_pipes(lines, keep_default_na=False)
    except Exception:  # as published: what pandas cannot read is no table
        return None
    for name in frame.columns:
        frame[name] = [_cell(value) for value in frame[name].tolist()]
    return frame


def number_texts(column: pandas.Series[Any]) -> pandas.Series[Any]:
    """The column as text; where one cell is a number, the numbers as `f"{x:g}"` and every other cell blank."""
    pandas = load_pandas()
    stripped = texts(column).map(str.strip)
    numbers = pandas.to_numeric(stripped, errors="coerce")
    if not numbers.notna().any():
        return stripped
    return pandas.Series(
        ["" if pandas.isna(number) else f"{number:g}" for number in numbers], index=column.index, dtype=object
    )


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.replace("<br>", "\n") or "nan"


async def _item_figures(
    said: pandas.DataFrame, gold: pandas.DataFrame, spec: Spec, judge: Judge, case: Case
) -> tuple[dict[str, float], str | None]:
    said.columns, gold.columns = [norm_column(name) for name in said], [norm_column(name) for name in gold]
    if not set(spec.required) <= set(said.columns):
        said = said.rename(columns=await judge.map_columns(case, list(said.columns), spec.required))
    if not set(spec.required) <= set(said.columns):
        return dict(NO_FORMAT), f"columns {list(said.columns)} instead of {spec.required}"
    for name in spec.required:
        said[name], gold[name] = number_texts(said[name]), number_texts(gold[name])
    said, gold = said.drop_duplicates(subset=spec.key).copy(), gold.drop_duplicates(subset=spec.key).copy()
    for name in spec.key:
        mapping = await judge.map_keys(case, name, said[name].tolist(), gold[name].tolist())
        said[name] = said[name].map(lambda key, mapping=mapping: mapping.get(key, key))
    joined = gold.merge(said, on=spec.key, how="inner", suffixes=("_gold", "_said"))
    right = 0.0
    for name in spec.required:
        right += len(joined) if name in spec.key else await _judged_sum(joined, name, judge, case)
    columns = len(spec.required)
    return dict(zip(ITEMS, precision_recall_f1(right, len(said) * columns, len(gold) * columns), strict=True)), None


async def _judged_sum(joined: pandas.DataFrame, name: str, judge: Judge, case: Case) -> float:
    pairs = list(zip(joined[f"{name}_said"], joined[f"{name}_gold"], strict=True))
    return sum(map(float, await judge.agree(case, name, pairs, SAME_MEANING)))
