"""Scores of tables: the published rules to the last digit, the repaired ones, and what is said of each cell."""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wideseek.errors import BadInput
from wideseek.records import Rollout, RowScore, Score, Task, WrongCell, read_jsonl
from wideseek.scoring.dates import read_date
from wideseek.scoring.files import score_files
from wideseek.scoring.judge import Case, ExactJudge, Pair
from wideseek.scoring.metrics import FIGURES
from wideseek.scoring.spec import ColumnRule, Spec, gold_table
from wideseek.scoring.table import Mode, score_response, score_rollout
from wideseek.scoring.tasks import read_tasks
from wideseek.table import Table

TODAY = date(2026, 1, 1)
OWN = Path(__file__).parent / "fixtures" / "parity_own.jsonl"
pytestmark = pytest.mark.filterwarnings("ignore")  # pandas and dateparser have opinions on their users


class OwnCase(msgspec.Struct):
    """A response to a made-up task, with its figures in each mode and the reason for them."""

    case: str
    why: str
    task: Task
    response: str
    official: dict[str, float]
    rlinf: dict[str, Any]
    strict: dict[str, float]


@cache
def own_cases() -> dict[str, OwnCase]:
    return {case.case: case for case in read_jsonl(OWN, OwnCase)}


async def scored(response: str, task: Task, mode: Mode = "strict", judge: Any = None) -> Score:
    return await score_response(response, task, mode=mode, judge=judge or ExactJudge(), today=TODAY)


def figures(score: Score, mode: Mode) -> dict[str, Any]:
    return {"item_f1": score.value, "format_ok": score.format_ok} if mode == "rlinf" else score.parts


def real_tasks(name: str = "widesearch") -> Iterator[Task]:
    yield from read_tasks(real_data() / f"{name}.jsonl.gz")


def real_data() -> Path:
    if not (data := os.environ.get("WIDESEEK_DATA")):
        pytest.skip("WIDESEEK_DATA is not set: it names the folder of real data")
    return Path(data) / "widesearch"


def fenced(table: Table) -> str:
    return f"Here it is.\n\n```markdown\n{table.to_markdown()}\n```"


# ------------------------------------------------------------------------------------------------------------- parity


@pytest.mark.parametrize("part", range(8))
async def test_official_and_rlinf_reproduce_every_golden_case(part: int) -> None:
    tasks = {task.instance_id: task for task in real_tasks()}
    with gzip.open(real_data() / "parity.jsonl.gz", "rt", encoding="utf-8") as lines:
        golden = [json.loads(line) for line in lines]
    assert len(golden) == 567
    for case in golden[part::8]:
        task, where = tasks[case["instance_id"]], (case["instance_id"], case["variant"])
        official = await scored(case["response"], task, "official")
        for name in FIGURES:
            assert official.parts[name] == pytest.approx(case["official"][name], abs=1e-6), (*where, name)
        rlinf = await scored(case["response"], task, "rlinf")
        assert rlinf.value == pytest.approx(case["rlinf"]["item_f1"], abs=1e-6), where
        assert rlinf.format_ok == case["rlinf"]["format_ok"], where
        strict = await scored(case["response"], task)
        assert 0 <= min(strict.parts.values()) <= max(strict.parts.values()) <= 1, where


@pytest.mark.parametrize("mode", ["official", "rlinf", "strict"])
@pytest.mark.parametrize("case", own_cases().values(), ids=lambda case: case.case)
async def test_every_mode_scores_our_own_cases_as_reasoned(case: OwnCase, mode: Mode) -> None:
    score = await scored(case.response, case.task, mode)
    assert figures(score, mode) == pytest.approx(getattr(case, mode), abs=1e-9), case.why


@pytest.mark.parametrize(("name", "count"), [("widesearch", 97), ("deepwidesearch", 96)])
async def test_every_gold_table_by_our_own_writer_scores_one(name: str, count: int) -> None:
    tasks = list(real_tasks(name))
    assert len(tasks) == count
    for task in tasks:
        for way in (task, msgspec.structs.replace(task, meta={})):  # gold from the CSV, and from the markdown
            score = await scored(fenced(gold_table(way)), way)
            assert set(score.parts.values()) == {1.0}, (task.instance_id, score.note, score.parts)


# ------------------------------------------------------------------------- the differences from official, one by one
# Each test names cases of parity_own.jsonl: the item F1 in official, in rlinf and in strict.


def item_f1(name: str) -> tuple[float, float, float]:
    case = own_cases()[name]
    return case.official["f1_by_item"], case.rlinf["item_f1"], case.strict["f1_by_item"]


def test_doubled_rows_do_not_lift_a_score_above_one() -> None:
    assert item_f1("rows doubled in another style") == pytest.approx((1.2, 1.2, 1.0))
    assert item_f1("gold keys that merge") == pytest.approx((2.0, 1.0, 1.0))


def test_a_key_that_contradicts_itself_has_that_cell_wrong() -> None:
    assert item_f1("doubled row contradicts itself") == pytest.approx((1.1, 1.1, 7 / 8))


def test_one_blank_cell_does_not_fail_its_column() -> None:
    assert item_f1("blank cell turns a column of integers into floats") == pytest.approx((6 / 8, 7 / 8, 7 / 8))


def test_numbers_are_compared_by_value_wherever_they_stand() -> None:
    assert item_f1("number with commas") == pytest.approx((3 / 4, 3 / 4, 1.0))


def test_a_lone_year_is_not_completed_from_today() -> None:
    assert item_f1("year only in the gold") == pytest.approx((3 / 4, 2 / 4, 1.0))
    assert item_f1("year in Chinese") == pytest.approx((3 / 4, 2 / 4, 1.0))


def test_a_blank_is_no_date() -> None:
    assert item_f1("blank date in the gold") == pytest.approx((1.0, 3 / 4, 3 / 4))


def test_two_cells_that_cannot_be_read_do_not_agree_for_that() -> None:
    assert item_f1("both without a date") == pytest.approx((1.0, 3 / 4, 3 / 4))
    assert item_f1("both without a number") == pytest.approx((1.0, 1.0, 3 / 4))
    assert item_f1("both without an address") == pytest.approx((1.0, 3 / 4, 3 / 4))


def test_addresses_are_read_before_spaces_are_removed() -> None:
    assert item_f1("two addresses in another order") == pytest.approx((3 / 4, 3 / 4, 1.0))


def test_an_extra_pipe_or_an_odd_quote_costs_one_cell_not_the_table() -> None:
    assert item_f1("one extra pipe in a row") == pytest.approx((0.0, 0.0, 7 / 8))
    assert item_f1("unbalanced quote") == pytest.approx((0.0, 0.0, 7 / 8))


def test_quotes_in_a_cell_are_text() -> None:
    assert item_f1("quotes around a cell") == pytest.approx((1.0, 1.0, 7 / 8))


def test_a_row_of_dashes_is_a_row() -> None:
    assert item_f1("row of dashes") == pytest.approx((1.0, 1.0, 0.8))


def test_the_last_table_counts_and_prose_with_pipes_is_none() -> None:
    assert item_f1("draft before the answer") == pytest.approx((2 / 3, 1.0, 1.0))
    assert item_f1("prose with pipes before the table") == pytest.approx((0.0, 0.0, 1.0))


def test_a_further_column_is_left_aside() -> None:
    assert item_f1("extra column") == pytest.approx((0.0, 1.0, 1.0))


def test_numeric_title_does_not_blank_other_titles() -> None:
    assert item_f1("text in a column with a number") == pytest.approx((3 / 4, 1.0, 3 / 4))
    assert item_f1("numbers of seven digits") == pytest.approx((3 / 4, 1.0, 3 / 4))


async def test_no_row_in_common_is_a_right_format_with_nothing_right() -> None:
    case = own_cases()["no joined row"]
    assert "raised" in str((await scored(case.response, case.task, "official")).note)
    strict = await scored(case.response, case.task)
    assert (strict.value, strict.format_ok, [row.found for row in strict.rows]) == (
        0.0,
        True,
        ["missing", "missing", "invented"],
    )


class Says(ExactJudge):
    """A judge that gives one verdict for everything, of whatever type."""

    pin = "says"

    def __init__(self, verdict: Any, count: int | None = None) -> None:
        self.verdict, self.count = verdict, count

    async def agree(self, case: Case, column: str, pairs: Sequence[Pair], criterion: str) -> Sequence[float]:
        return [self.verdict] * (len(pairs) if self.count is None else self.count)


@pytest.mark.parametrize(
    ("verdict", "count", "official"),
    [("1", None, 0.0), (2, None, (6 + 2 * 2) / 8), (0, None, 6 / 8), (1, 0, 6 / 8)],
    ids=["a string", "two", "no", "nothing"],
)
async def test_official_takes_what_a_judge_says_and_strict_checks_it(
    verdict: Any, count: int | None, official: float
) -> None:
    case = own_cases()["right"]
    judge = Says(verdict, count)
    assert (await scored(case.response, case.task, "official", judge)).value == pytest.approx(official)
    other = case.response.replace("blue", "navy").replace("green", "lime")
    strict = await scored(other, case.task, "strict", judge)
    if verdict == 0:
        assert strict.value == 6 / 8
    else:
        assert strict.value is None
        assert strict.unscored is not None
        assert "verdicts" in strict.unscored


async def test_official_reads_its_gold_anew_for_every_response() -> None:
    case = own_cases()["right"]
    first, second = [await scored(case.response, case.task, "official") for _ in range(2)]
    assert first == second


# ------------------------------------------------------------------------------------------------- what strict promises

CELLS = st.sampled_from(
    ["", "a", "A ", "**a**", "b", "1", "1.0", "2", "12%", "1994", "June 1994", "-", "nan", "x|y", '"']
)


@st.composite
def judged_tables(draw: st.DrawFn) -> tuple[Task, Table]:
    """A task of up to four columns, and a response that shares some of its rows."""
    columns = [f"c{i}" for i in range(draw(st.integers(1, 4)))]
    rows = st.lists(st.lists(CELLS, min_size=len(columns), max_size=len(columns)), max_size=6)
    gold, said = draw(rows.filter(bool)), draw(rows)
    said += draw(st.lists(st.sampled_from(gold), max_size=6))
    key = draw(st.lists(st.sampled_from(columns), min_size=1, max_size=2, unique=True))
    metric = st.sampled_from(
        [
            ["exact_match"],
            ["number_near"],
            ["date_near"],
            ["in_match"],
            ["url_match"],
            ["llm_judge"],
            ["exact_match", "llm_judge"],
        ]
    )
    prepare = st.sampled_from([["norm_str"], ["extract_number"], ["norm_date"], []])
    pipeline = {name: {"preprocess": draw(prepare), "metric": draw(metric), "criterion": 0.05} for name in columns}
    for rule in pipeline.values():
        rule["criterion"] = "the same" if "llm_judge" in rule["metric"] else 0.05
    evaluation = {"unique_columns": key, "required": columns, "eval_pipeline": pipeline}
    task = Task(instance_id="t", kind="wide", answer=fenced(Table(columns, gold)), evaluation=evaluation)
    return task, Table(columns, said)


@settings(max_examples=200, deadline=None)
@given(judged_tables(), st.integers(0, 2**32))
async def test_strict_stays_in_the_unit_interval_whatever_the_order(case: tuple[Task, Table], seed: int) -> None:
    task, said = case
    score = await scored(fenced(said), task)
    assert 0 <= min(score.parts.values()) <= max(score.parts.values()) <= 1
    draw = random.Random(seed)
    gold = gold_table(task)
    shuffled = msgspec.structs.replace(task, answer=fenced(rearranged(gold, draw)))
    again = await scored(fenced(rearranged(said, draw)), shuffled)
    assert again.parts == pytest.approx(score.parts, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(judged_tables())
async def test_strict_gives_one_to_the_gold_itself(case: tuple[Task, Table]) -> None:
    task, _ = case
    gold = gold_table(task)
    if any(any(row) for row in gold.rows):
        assert set((await scored(fenced(gold), task)).parts.values()) == {1.0}


def rearranged(table: Table, draw: random.Random) -> Table:
    rows = draw.sample(table.rows, len(table.rows))
    return Table(table.columns, rows).select(draw.sample(table.columns, len(table.columns)))


async def test_a_score_names_what_is_wrong_missing_and_invented() -> None:
    task = own_cases()["right"].task
    said = Table(["Town", "Founded", "Area", "Note"], [["**Alba**", "1990", "300", "blue"], ["Chur", "1", "1", "red"]])
    score = await scored(fenced(said), task)
    assert score.rows == [
        RowScore(["Alba"], "both", [WrongCell("area", "300", "100")]),
        RowScore(["Bern"], "missing"),
        RowScore(["Chur"], "invented"),
    ]
    assert score.columns == {"town": 1.0, "founded": 1.0, "area": 0.0, "note": 1.0}
    assert score.value == pytest.approx(3 / 8)


async def test_a_table_without_rows_is_no_answer() -> None:
    score = await scored(fenced(Table(["Town", "Founded", "Area", "Note"])), own_cases()["right"].task)
    assert (score.value, score.format_ok, score.note) == (0.0, False, "a table without rows")


async def test_a_gold_without_rows_is_met_by_a_table_without_rows() -> None:
    task = Task(instance_id="none", kind="wide", answer="| Town | Note |\n|---|---|")
    assert (await scored("| Town | Note |\n|---|---|", task)).value == 1.0
    assert (await scored("| Town | Note |\n|---|---|\n| Alba | x |", task)).value == 0.0


# --------------------------------------------------------------------------------------------- specifications and dates


def test_an_evaluation_is_derived_from_the_gold_cells() -> None:
    gold = Table(
        ["Town", "Founded", "People", "Opened", "Note"],
        [
            ["Alba", "1990", "1,234", "2001-05-06", "x"],
            ["Bern", "1850", "-5%", "May 2003", "1"],
            ["Chur", "", "", "", ""],
        ],
    )
    spec = Spec.of(Task(instance_id="t", kind="wide", answer=fenced(gold)), gold)
    exact = ColumnRule()
    assert (spec.key, spec.required) == (["town"], ["town", "founded", "people", "opened", "note"])
    assert spec.rules == {
        "town": exact,
        "founded": exact,
        "people": ColumnRule(("extract_number",), ("number_near",), 0.0),
        "opened": ColumnRule(("norm_date",), ("date_near",)),
        "note": exact,
    }


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1994-06-05", "1994-06-05"), ("1994/6/5", "1994-06-05"), ("1994-06-05T10:00:00Z", "1994-06-05"),
        ("5 June 1994", "1994-06-05"), ("5th of June, 1994", "1994-06-05"), ("June 5, 1994", "1994-06-05"),
        ("Sept. 5 1994", "1994-09-05"), ("1994年6月5日", "1994-06-05"), ("06/05/1994", "1994-06-05"),
        ("25/12/1994", "1994-12-25"), ("June 1994", "1994-06"), ("1994年6月", "1994-06"), ("1994", "1994"),
        ("5 de junio de 1994", "1994-06-05"),
    ],
)  # fmt: skip
def test_dates_are_read_in_many_notations(text: str, day: str) -> None:
    read = read_date(text)
    assert read is not None
    assert read.text() == day


@pytest.mark.parametrize("text", ["", "nan", "yesterday", "3 days ago", "750ml", "1700000000", "31 February 1994"])
def test_what_names_no_day_is_no_date(text: str) -> None:
    assert read_date(text) is None


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (Task(instance_id="t7", kind="wide"), "task t7: no gold table"),
        (
            Task(instance_id="t7", kind="wide", answer="| a |\n|---|\n| 1 |", required=["a", "b"]),
            "lacks the required column 'b'",
        ),
        (Task(instance_id="t7", kind="wide", answer="| a |\n|---|\n| 1 |", unique_columns=["b"]), "the key column 'b'"),
        (
            Task(
                instance_id="t7",
                kind="wide",
                answer="| a |\n|---|\n| 1 |",
                evaluation={"eval_pipeline": {"a": {"metric": ["exact"]}}},
            ),
            "'exact' is none of exact_match",
        ),
    ],
)
async def test_a_task_that_cannot_be_scored_against_is_bad_input(task: Task, says: str) -> None:
    for mode in ("strict", "official", "rlinf"):
        with pytest.raises(BadInput, match="t7") as error:
            await score_response("| a |\n|---|\n| 1 |", task, mode=mode)
        assert says in str(error.value)
        assert "\n" not in str(error.value)


async def test_official_without_pandas_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    case = own_cases()["right"]
    assert (await scored(case.response, case.task)).value == 1.0
    with pytest.raises(BadInput, match=r"pip install wideseek\[pandas\]"):
        await scored(case.response, case.task, "official")


async def test_a_rollout_that_the_infrastructure_failed_is_unscored() -> None:
    case = own_cases()["right"]
    assert (await score_rollout(Rollout(task=case.task, answer=case.response))).value == 1.0
    failed = await score_rollout(Rollout(task=case.task, answer=case.response, error="server down"))
    assert (failed.value, failed.unscored) == (None, "server down")


# --------------------------------------------------------------------------------------------------------------- files


def write_lines(path: Path, *records: Any) -> Path:
    path.write_text("\n".join(json.dumps(msgspec.to_builtins(record)) for record in records), encoding="utf-8")
    return path


async def test_files_are_scored_in_order_under_the_golden_names(tmp_path: Path) -> None:
    case, wrong = own_cases()["right"], own_cases()["one cell wrong"]
    deep = {"instance_id": "deep", "question": "Where?", "answer": ["Bern"]}
    tasks = write_lines(tmp_path / "tasks.jsonl", case.task, deep)
    said = [{"instance_id": "towns", "response": text} for text in (wrong.response, case.response)]
    responses = write_lines(tmp_path / "said.jsonl", *said, {"instance_id": "deep", "response": r"\boxed{Bern}"})
    scores = await score_files(responses, tasks, mode="official", judge=ExactJudge(), today=TODAY)
    first, second, third = scores["results"]
    assert list(first) == ["instance_id", *FIGURES, "raised"]
    assert (first["f1_by_item"], second["score"], third["em"]) == (7 / 8, 1.0, 1.0)
    assert scores["summary"]["means"]["f1_by_item"] == 15 / 16
    rlinf = await score_files(responses, tasks, mode="rlinf", judge=ExactJudge())
    assert rlinf["results"][0] == {"instance_id": "towns", "item_f1": 7 / 8, "format_ok": True}


async def test_saved_rollouts_bring_their_tasks_and_their_failures(tmp_path: Path) -> None:
    case = own_cases()["right"]
    good = Rollout(task=case.task, answer=case.response)
    failed = Rollout(task=case.task, trial=1, answer="", error="server down")
    scores = await score_files(write_lines(tmp_path / "rollouts.jsonl", good, failed), None, judge=ExactJudge())
    assert scores["results"][1] == {"instance_id": "towns", "trial": 1, "unscored": "server down"}
    summary = scores["summary"]
    assert (summary["scored"], summary["unscored"]) == (1, 1)
    assert (summary["means"]["f1_by_item"], summary["bounds"]["f1_by_item"]) == (1.0, 0.5)


async def test_files_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    task = own_cases()["right"].task
    said = {"instance_id": "towns", "response": "x"}
    other = {"instance_id": "villages", "response": "x"}
    no_gold = {"instance_id": "towns", "question": "?", "kind": "wide"}
    for tasks, responses, says in (
        ([task, task], [said], "the id 'towns' occurs twice"),
        (
            [task],
            [{**said, "trial": 3}, {**said, "trial": 3}],
            "responses 1 and 2 have the instance_id towns and the trial 3",
        ),
        ([task], [said, other], "line 2: the response is to villages"),
        ([no_gold], [said], "line 1: task 'towns' has no gold answer"),
        ([{**no_gold, "answer": "| a |\n|---|\n| 1 |", "required": ["b"]}], [said], "lacks the required column 'b'"),
    ):
        with pytest.raises(BadInput) as error:
            await score_files(
                write_lines(tmp_path / "said.jsonl", *responses),
                write_lines(tmp_path / "tasks.jsonl", *tasks),
                judge=ExactJudge(),
            )
        assert says in str(error.value)
        assert "\n" not in str(error.value)
