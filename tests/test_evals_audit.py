"""Contamination: what overlaps is found, what is common to all tasks is not taken for overlap."""

from __future__ import annotations

import pytest

from tests.work import lines_run
from wideseek.evals.audit import audit
from wideseek.records import Task

FORMAT = "Please present the result as one Markdown table and do not split it. Output nothing else than the table."


def wide(name: str, question: str, keys: list[str], columns: str = "name | height") -> Task:
    rows = "\n".join(f"| {key} | {i} |" for i, key in enumerate(keys))
    return Task(
        instance_id=name,
        question=f"{question} {FORMAT}",
        answer=f"```markdown\n| {columns} |\n|---|---|\n{rows}\n```",
        unique_columns=[columns.split(" | ")[0]],
    )


TOWERS = wide(
    "towers",
    "Which towers over one hundred metres stand in the old harbour of the city, and who owns them today?",
    ["Iron", "Glass", "Brick", "Clay"],
)
BENCH = [
    TOWERS,
    *(wide(f"b{i}", f"Bench question number {i} about things", [f"Bench{i}{c}" for c in "abcd"]) for i in range(8)),
]


def test_the_same_question_is_found_however_short():
    train = Task(instance_id="t", question="Who wrote  it?", answer=["her"])
    bench = Task(instance_id="b", question="who wrote it", answer=["him"])
    (found,) = audit([train], [bench]).overlaps
    assert found.same_question
    assert (found.train_id, found.bench_id) == ("t", "b")


def test_a_question_that_was_reworded_in_part_is_found_by_its_word_sequences():
    train = wide(
        "t", "List which towers over one hundred metres stand in the old harbour of the city, and who built them", ["X"]
    )
    (found,) = audit([train], BENCH, ngram=5).overlaps
    assert found.bench_id == "towers"
    assert not found.same_question
    assert found.question_share >= 0.5


def test_format_instructions_that_all_questions_share_are_no_overlap():
    assert audit([wide("t", "Something else", ["X"])], BENCH).overlaps == []


def test_gold_tables_overlap_by_their_keys():
    train = wide("t", "Something else", ["iron", "Brick", "Glass ", "Steel"], columns="Name | architect")
    (found,) = audit([train], BENCH).overlaps
    assert (found.bench_id, found.key_share, found.column_share) == ("towers", 0.75, 0.5)
    assert found.keys == ["brick", "glass", "iron"]
    assert audit([train], BENCH, key_share=0.8).overlaps == []
    assert audit([train], BENCH, min_keys=4).overlaps == []


def test_years_and_ranks_are_no_evidence():
    years = [str(year) for year in range(1990, 2010)]
    assert audit([wide("t", "One", years)], [*BENCH, wide("b", "Other", years)]).overlaps == []


def test_chinese_questions_are_compared_character_by_character():
    bench = Task(instance_id="b", question="请列出二零二零年以来在上海举办的所有国际电影节及其获奖影片", answer=["x"])
    train = Task(
        instance_id="t", question="帮我列出二零二零年以来在上海举办的所有国际电影节及其获奖影片的名单", answer=["y"]
    )
    (found,) = audit([train], [bench]).overlaps
    assert found.question_share > 0.8


def test_the_worst_overlap_comes_first_and_the_table_says_it():
    train = [
        wide("part", "Else", ["Iron", "Brick", "Glass", "Steel"]),
        Task(instance_id="same", question=TOWERS.question),
    ]
    found = audit(train, BENCH)
    assert found.train_ids == ["same", "part"]
    assert [line["question"] for line in found.as_table().records()] == ["the same", "0%"]


def made(side: str, i: int) -> Task:
    keys = [f"{side} {i} {j}" for j in range(8)]
    return wide(f"{side}{i}", f"{side} {i}: which things of this kind are there and how high are they all?", keys)


def test_a_larger_benchmark_does_not_make_a_train_task_more_work():
    def work(train: int, bench: int) -> int:
        tasks = [made("train", i) for i in range(train)], [made("bench", i) for i in range(bench)]
        return lines_run(lambda: audit(*tasks))

    small, large = (work(200, bench) - work(100, bench) for bench in (50, 400))  # what a hundred more train tasks add
    assert small == pytest.approx(large, rel=0.05)


def test_in_thousands_of_tasks_the_overlaps_are_found():
    train, bench = [made("train", i) for i in range(2_000)], [made("bench", i) for i in range(1_000)]
    assert audit([*train, *bench[:5]], bench).train_ids == [f"bench{i}" for i in range(5)]
