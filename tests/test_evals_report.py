"""The report of an evaluation: one page, nothing from outside, nothing hidden, nothing that could run."""

from __future__ import annotations

import base64
import itertools
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.helpers import HOST, LIGHTHOUSES, Model, script, table, team
from wideseek.errors import PolicyUnavailable, RunDirError
from wideseek.evals import Setup, load_run
from wideseek.evals.plots import Axis, Chart, Point, Series, at_values, short_number, to_svg
from wideseek.evals.records import Attempt
from wideseek.evals.report import status_of, write_report
from wideseek.evals.report_data import cells_of, text_cut
from wideseek.evals.run import evaluate
from wideseek.records import Page, Rollout, RowScore, Score, Task, Trajectory, WrongCell
from wideseek.scoring.table import score_response

GOLD = table(*(f"| {name} | {height} |" for name, (height, _) in LIGHTHOUSES.items()))
MIXED = table("| Bovbjerg | 26 m |", "| Hanstholm | 99 m |", "| Atlantis | 1 m |")
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def lighthouses(name: str = "t0", question: str = "Which lighthouses of Denmark are there?") -> Task:
    return Task(instance_id=name, question=question, answer=GOLD, unique_columns=["name"], required=["name", "height"])


async def evaluated(folder: Path, answers: Sequence[str | Exception], *, trials: int = 1, note: str = "done") -> Path:
    """A run whose task number i is answered with `answers[i]`; its one subagent reads Bovbjerg's page."""
    tasks = [lighthouses(f"t{i}", f"Which lighthouses of Denmark are there (list {i})?") for i in range(len(answers))]

    def lead(run: Trajectory) -> Any:
        said = answers[int(re.search(r"list (\d+)", run.prompt)[1])]
        if isinstance(said, Exception):
            raise said
        return said if run.turns else [("call_subagent", {"subtasks": ["heights of Bovbjerg"]})]

    sub = script([("search", {"query": "Bovbjerg"})], [("access", {"url": f"{HOST}/bovbjerg"})], note)
    setup = Setup(bench="lighthouses", trials=trials, model="a <b>model</b>", modes=["strict", "official"], width=3)
    await evaluate(tasks, team(Model(lead, tokens=7), sub), folder, setup)
    return folder


def index_of(html: str) -> dict[str, Any]:
    return json.loads(re.search(r'<script type="application/json" id="index">(.*?)</script>', html, re.DOTALL)[1])


def unpacked(html: str, name: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(re.search(rf'id="{name}">([^<]*)</script>', html)[1])))


# ------------------------------------------------------------------------------------------------------------ the page


async def test_every_attempt_is_listed_with_its_score_rows_work_and_status(tmp_path):
    html = write_report(await evaluated(tmp_path, [GOLD, MIXED, "I do not know"], trials=2)).read_text()
    index = index_of(html)
    assert [(row["task"], row["trial"]) for row in index["attempts"]] == [
        (0, 0),
        (1, 0),
        (2, 0),
        (0, 1),
        (1, 1),
        (2, 1),
    ]
    right, mixed, none = index["attempts"][:3]
    assert (right["status"], right["score"], right["success"], right["rows"]) == ("right", 1, 1, [3, 3, 0])
    assert (mixed["status"], mixed["rows"], mixed["subagents"], mixed["turns"]) == ("partly right", [2, 3, 1], 1, 5)
    assert (none["status"], none["score"], none["rows"]) == ("wrong", 0, None)
    assert mixed["tokens"] == 14
    assert mixed["official"] is not None
    assert 0 < mixed["supported"] < 1


async def test_figures_stand_side_by_side_with_their_intervals(tmp_path):
    folder = await evaluated(tmp_path, [GOLD, MIXED])
    html = write_report(folder).read_text()
    metric = load_run(folder).summary.item_f1
    assert f"{metric.avg:.3f}" in html
    assert f"{metric.ci95[0]:.3f} to {metric.ci95[1]:.3f}" in html
    assert "strict: avg@1" in html
    assert "official: avg@1" in html
    assert html.count("<svg") == 3


async def test_what_has_no_score_is_said_with_its_reason(tmp_path):
    folder = await evaluated(tmp_path, [GOLD, PolicyUnavailable("the server is on fire")])
    html = write_report(folder).read_text()
    assert "1 of 2 attempts have no score (policy): the model&#x27;s server failed after every retry" in html
    assert "the server is on fire" in html
    assert "the truth lies at or above it" in html
    unscored = index_of(html)["attempts"][1]
    assert (unscored["status"], unscored["score"], unscored["problem"]) == (
        "unscored: policy",
        None,
        "the server is on fire",
    )
    cells = unpacked(html, "c1")
    assert {row["is"] for row in cells["rows"]} == {"gold"}


async def test_a_run_that_was_killed_is_reported_as_far_as_it_went_whatever_its_summary_says(tmp_path):
    folder = await evaluated(tmp_path, [GOLD, MIXED])
    lines = (folder / "scores.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "scores.jsonl").write_bytes(lines[0] + lines[1][:20])
    html = write_report(folder).read_text()
    assert "not made yet" in html
    assert len(index_of(html)["attempts"]) == 1
    (folder / "summary.json").unlink()
    assert write_report(folder).read_text() == html


def test_without_an_evaluation_there_is_one_clear_line(tmp_path):
    with pytest.raises(RunDirError, match="no evaluation here"):
        write_report(tmp_path)


async def test_the_page_needs_nothing_from_outside_and_nothing_in_it_can_run(tmp_path):
    folder = await evaluated(tmp_path, [table(f"| {EVIL} | 1 |"), f"{EVIL} is my answer"], note=EVIL)
    html = write_report(folder).read_text()
    assert EVIL not in html
    assert "<img" not in html
    assert "a &lt;b&gt;model&lt;/b&gt;" in html
    assert len(re.findall(r"<script>", html)) == 1
    assert not re.findall(r'(?:src|href)="https?:', html)
    assert "default-src 'none'" in html
    assert ".innerHTML" not in html
    assert EVIL in json.dumps(unpacked(html, "a0")).replace('\\"', '"')


async def test_turns_beyond_the_limit_are_left_out_and_the_page_says_so(tmp_path):
    folder = await evaluated(tmp_path, [GOLD, GOLD], trials=2)
    size = len(re.search(r'id="a0">([^<]*)<', write_report(folder).read_text())[1])
    html = write_report(folder, most_bytes=int(2.5 * size)).read_text()
    assert "The turns of 2 attempts are left out here" in html
    assert [row["agents"] for row in index_of(html)["attempts"]] == [True, True, False, False]  # first trials first
    assert 'id="c3"' in html  # their cells are there


async def test_agents_show_what_they_were_told_said_called_and_read(tmp_path):
    html = write_report(await evaluated(tmp_path, [GOLD])).read_text()
    lead, sub = unpacked(html, "a0")
    assert (lead["path"], sub["path"], sub["role"], sub["read"]) == ("lead", "lead/1.1", "sub", [f"{HOST}/bovbjerg"])
    assert lead["turns"][0]["calls"] == [
        {"name": "call_subagent", "arguments": {"subtasks": ["heights of Bovbjerg"]}, "malformed": None}
    ]
    assert [message["role"] for message in sub["turns"][0]["told"]] == ["system", "user"]
    assert "26 m" in sub["turns"][2]["told"][0]["text"]
    assert (sub["turns"][2]["said"], sub["stop"]) == ("done", "answer")


def test_long_texts_are_cut_and_say_by_how_much():
    assert text_cut("abc", 3) == "abc"
    assert text_cut("x" * 3005, 5) == "xxxxx … (3,000 more characters)"


@pytest.mark.parametrize(
    ("attempt", "status"),
    [
        ({"outcome": "judge"}, "unscored: judge"),
        ({"outcome": "scored", "scores": {"strict": {"score": 1.0}}, "stop": "answer"}, "right"),
        ({"outcome": "scored", "scores": {"strict": {"score": 0.0}}, "stop": "context"}, "no answer: context"),
        (
            {"outcome": "scored", "scores": {"strict": {"score": 0.0, "f1_by_item": 0.5}}, "stop": "answer"},
            "partly right",
        ),
        ({"outcome": "scored", "scores": {"strict": {"score": 0.0, "f1_by_item": 0.0}}, "stop": "answer"}, "wrong"),
    ],
)
def test_a_status_says_how_an_attempt_ended(attempt, status):
    assert status_of(Attempt(instance_id="t", trial=0, language="en", kind="wide", **attempt), "strict") == status


# ----------------------------------------------------------------------------------------------------------- the cells


def answered(task: Task, answer: str) -> Rollout:
    page = Page("https://a.example/b", "Bovbjerg", "Bovbjerg is a lighthouse.\nheight: 26 m")
    run = Trajectory(role="lead", read=[page.url])
    return Rollout(task=task, trajectories=[run], pages={page.url: page}, answer=answer)


async def compared(answer: str) -> list[dict[str, Any]]:
    task = lighthouses()
    return cells_of(task, await score_response(answer, task), answered(task, answer), 1000).record["rows"]


async def test_each_cell_is_right_wrong_missing_or_invented():
    right, wrong, missing, invented = await compared(MIXED)
    assert [row["is"] for row in (right, wrong, missing, invented)] == ["right", "wrong", "missing", "invented"]
    assert right["cells"][1]["said"] == "26 m"
    assert (wrong["cells"][0]["is"], wrong["cells"][1]["is"]) == ("right", "wrong")
    assert (wrong["cells"][1]["said"], wrong["cells"][1]["gold"]) == ("99 m", "23 m")
    assert [cell["gold"] for cell in missing["cells"]] == ["Dueodde", "47 m"]
    assert [cell["said"] for cell in invented["cells"]] == ["Atlantis", "1 m"]


async def test_each_cell_that_was_said_carries_its_evidence():
    right, wrong, missing, _ = await compared(MIXED)
    assert right["cells"][1]["evidence"] == {
        "is": "supported",
        "url": "https://a.example/b",
        "quote": "height: 26 m",
        "agent": "lead",
        "tie": "label: height",
    }
    assert wrong["cells"][1]["evidence"] == {"is": "unsupported"}
    assert "evidence" not in missing["cells"][0]


async def test_right_cells_show_what_was_said_and_not_the_gold():
    rows = await compared("| Height | NAME |\n|---|---|\n| 26 METRES | **bovbjerg** |")
    assert [cell["said"] for cell in rows[0]["cells"]] == ["**bovbjerg**", "26 METRES"]
    assert rows[0]["is"] == "right"


def test_a_row_that_only_a_judge_could_match_shows_the_gold_where_it_is_right():
    task, answer = lighthouses(), table("| The lighthouse at Bovbjerg | 30 m |")
    score = Score(value=0.2, rows=[RowScore(["Bovbjerg"], "both", [WrongCell("height", "30 m", "26 m")])])
    [row] = cells_of(task, score, answered(task, answer), 1000).record["rows"]
    assert row["cells"] == [{"is": "right", "said": "Bovbjerg"}, {"is": "wrong", "said": "30 m", "gold": "26 m"}]


async def test_no_table_leaves_every_gold_row_missing_and_says_why():
    task = lighthouses()
    found = cells_of(task, await score_response("no idea", task), answered(task, "no idea"), 1000)
    assert {row["is"] for row in found.record["rows"]} == {"missing"}
    assert found.record["note"] == "no table in the response"
    assert found.counts == {"missing": 6}


async def test_tables_of_any_length_are_shown_up_to_a_limit_and_counted_whole():
    gold = table(*(f"| n{i} | {i} |" for i in range(1000)))
    task = msgspec.structs.replace(lighthouses(), answer=gold)
    found = cells_of(task, await score_response(gold, task), None, 1000)
    assert (len(found.record["rows"]), found.record["more"], found.counts["right"]) == (400, 600, 2000)


async def test_short_answers_are_shown_beside_what_is_accepted():
    task = Task(instance_id="d", question="How high is Bovbjerg?", answer=["26 m", "26 metres"])
    answer = r"\boxed{26 m}"
    record = cells_of(task, await score_response(answer, task), answered(task, answer), 1000).record
    assert (record["accepted"], record["said"], record["evidence"]["is"]) == (
        ["26 m", "26 metres"],
        "26 m",
        "mentioned",  # it names no row and no column
    )


# -------------------------------------------------------------------------------------------------------------- charts


def test_charts_escape_their_words_and_keep_points_inside():
    points = [Point(1, 0.2, 0.1, 0.3, EVIL), Point(10, 1.0)]
    svg = to_svg(Chart(EVIL, at_values("x & y", [1, 2, 10]), Axis("", low=0, high=1), [Series(EVIL, points)]))
    assert "<script" not in svg
    assert "x &amp; y" in svg
    positions = [float(x) for x in re.findall(r'cx="([\d.]+)"', svg)]
    assert 54 <= positions[0] < positions[1] <= 364


def test_tick_labels_never_touch():
    svg = to_svg(
        Chart("t", at_values("x", range(1, 60)), Axis("", low=0, high=1), [Series("s", [Point(1, 0), Point(60, 1)])])
    )
    ticks = [float(x) for x in re.findall(r'class="tick" x="([\d.]+)" y="24', svg)]
    assert len(ticks) > 3
    assert all(right - left >= 30 for left, right in itertools.pairwise(ticks))


def test_numbers_are_short():
    assert [short_number(v) for v in (0.25, 7, 950, 1200, 32000, 1.5e6)] == ["0.25", "7", "950", "1.2k", "32k", "1.5M"]
