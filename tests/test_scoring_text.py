"""Scores of short answers, in English and Chinese, boxed or not."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wideseek.errors import BadInput
from wideseek.records import Task
from wideseek.scoring.table import score_response
from wideseek.scoring.text import contains, exact_match, said_answer, token_f1, tokens


def question(*answers: str) -> Task:
    return Task(instance_id="q", question="Who?", answer=list(answers))


@pytest.mark.parametrize(
    ("said", "accepted", "em", "f1", "within"),
    [
        ("The Beatles", "beatles", 1.0, 1.0, 1.0),
        ("Beatles!", "The  Beatles", 1.0, 1.0, 1.0),
        ("the band Beatles", "Beatles", 0.0, 2 / 3, 1.0),
        ("John Lennon", "Paul McCartney", 0.0, 0.0, 0.0),
        ("in 19 May 1990", "May 1990", 0.0, 2 / 3, 1.0),
        ("1990 May", "May 1990", 0.0, 1.0, 0.0),
        ("O'Neill", "ONeill", 1.0, 1.0, 1.0),
        ("北京市", "北京", 0.0, 0.8, 1.0),
        ("“北京”。", "北京", 1.0, 1.0, 1.0),
        ("北 京", "北京", 1.0, 1.0, 1.0),
        ("２０２０年", "2020年", 1.0, 1.0, 1.0),
        ("", "the", 1.0, 1.0, 0.0),
        ("", "x", 0.0, 0.0, 0.0),
    ],
)
def test_short_answers_are_compared_as_squad_does(
    said: str, accepted: str, em: float, f1: float, within: float
) -> None:
    assert (exact_match(said, accepted), token_f1(said, accepted)) == (em, pytest.approx(f1))
    assert contains(said, accepted) == within


def test_characters_of_chinese_are_tokens_and_words_of_latin_stay_whole() -> None:
    assert tokens("NBA总冠军 2020") == ["nba", "总", "冠", "军", "2020"]


@given(st.text(), st.text())
def test_text_figures_stay_in_the_unit_interval_and_agree_with_themselves(one: str, other: str) -> None:
    assert exact_match(one, one) == token_f1(one, one) == 1.0
    assert exact_match(one, other) <= token_f1(one, other) <= 1.0
    assert token_f1(one, other) == pytest.approx(token_f1(other, one))


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"So \boxed{Paris}, no: \boxed{\text{Rome}}.", ("Rome", True)),
        (r"<think>\boxed{Paris}</think> It is Rome.", ("It is Rome.", False)),
        (r"\boxed{{a} and {b}}", ("{a} and {b}", True)),
        (r"\boxed{Paris} and \boxed{Ro", ("Paris", True)),
        ("Rome", ("Rome", False)),
    ],
)
def test_the_last_whole_box_is_the_answer(response: str, answer: tuple[str, bool]) -> None:
    assert said_answer(response) == answer


async def test_the_best_of_several_accepted_answers_counts() -> None:
    score = await score_response(r"\boxed{the NYC}", question("New York City", "NYC"))
    assert (score.value, score.format_ok) == (1.0, True)
    assert score.parts == {"em": 1.0, "f1": 1.0, "contains": 1.0, "judged": 1.0}


async def test_an_answer_without_a_box_is_scored_and_its_format_is_not_right() -> None:
    score = await score_response("NYC", question("NYC"))
    assert (score.value, score.format_ok, score.note) == (1.0, False, "no boxed answer")


async def test_no_answer_scores_zero() -> None:
    for response in (None, "", r"\boxed{}"):
        score = await score_response(response, question("NYC"))
        assert (score.value, score.format_ok, score.note) == (0.0, False, "no answer")


async def test_a_question_without_accepted_answers_is_bad_input() -> None:
    with pytest.raises(BadInput, match="task q: no accepted answers"):
        await score_response("x", Task(instance_id="q", kind="deep", answer=[" "]))


async def test_every_accepted_answer_of_the_seven_benchmarks_is_right() -> None:
    if not (data := os.environ.get("WIDESEEK_DATA")):
        pytest.skip("WIDESEEK_DATA is not set: it names the folder of real data")
    for name in ("nq", "triviaqa", "popqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle"):
        with gzip.open(Path(data) / "qa" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        assert len(records) > 70
        for record in records:
            task = Task(instance_id=record["id"], question=record["question"], answer=record["answers"])
            score = await score_response(rf"\boxed{{{record['answers'][-1]}}}", task)
            assert score.value == 1.0, (record["id"], record["answers"], score)
