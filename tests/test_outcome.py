"""A run's status follows from what is there: `complete` is said only where nothing is known to be missing."""

from __future__ import annotations

import pytest

from wideseek.budget import Budget
from wideseek.evidence import Evidence, EvidenceTable
from wideseek.outcome import EXIT_CODES, status_of
from wideseek.records import Page, Rollout, Task, Trajectory
from wideseek.table import Table, says_nothing

URL = "https://a.example/1"
S = Evidence("supported", URL, "quote", "lead/1.1", "label: height")
M, U, E = Evidence("mentioned", URL, "quote", "lead/1.1"), Evidence("unsupported"), Evidence("empty")


def rollout(*subagents: Trajectory, read: bool = True, **fields) -> Rollout:
    lead = Trajectory(role="lead", stop=fields.get("stop", "answer"), error=fields.pop("lead_error", None))
    pages = {URL: Page(URL, "One", "height: 20 m")} if read else {}
    given = {"answer": "a table", "stop": "answer", **fields}
    return Rollout(task=Task(question="q"), trajectories=[lead, *subagents], pages=pages, **given)


def status(run: Rollout, rows: list[list[str]], evidence: EvidenceTable, **options) -> tuple[str, str]:
    table = Table(["name", "height", "year"], rows)
    return status_of(run, table, evidence, Budget(), **{"answered": True, "min_supported": 0.0, **options})


FULL = [["Alpha", "20 m", "1877"], ["Beta", "30 m", "1901"]]


def test_a_full_table_of_supported_cells_is_complete():
    assert status(rollout(), FULL, [[S, S, S], [S, S, S]]) == ("complete", "answered")


def test_single_cells_may_be_empty_unsupported_or_mentioned():
    rows = [["Alpha", "20 m", ""], ["Beta", "", "1901"]]
    assert status(rollout(), rows, [[S, M, E], [S, E, U]])[0] == "complete"


def test_a_table_without_a_row_has_failed():
    state, reason = status(rollout(), [], [])
    assert state == "failed"
    assert "without a single value" in reason


def test_a_table_whose_cells_are_all_empty_has_failed():
    assert status(rollout(), [["", "", ""]], [[E, E, E]])[0] == "failed"


@pytest.mark.parametrize(
    "nothing",
    ["", "-", "N/A", "**unknown**", " ", "未知", "?", "...", "…", "not found", "TBD", "N/A (no data)", "not specified"],
)
def test_a_column_without_a_value_in_any_row_is_named_and_makes_the_table_partial(nothing):
    rows = [["Alpha", "20 m", nothing], ["Beta", "30 m", nothing]]
    state, reason = status(rollout(), rows, [[S, S, E], [S, S, E]])
    assert (state, "no row has a value for year" in reason) == ("partial", True)


@pytest.mark.parametrize("value", ["✓", "0", "No", "Nothing", "Unknown Pleasures", "None (demolished in 1990)x"])
def test_a_short_value_is_a_value(value):
    assert not says_nothing(value)


def test_a_row_of_dots_stands_for_rows_that_are_missing():
    rows = [["Alpha", "20 m", "1877"], ["...", "…", "..."]]
    state, reason = status(rollout(), rows, [[S, S, S], [E, E, E]])
    assert (state, "rows that are missing" in reason) == ("partial", True)


def test_a_column_without_a_name_is_not_wanted_by_anybody():
    table = Table(["", "name"], [["", "Alpha"]])
    said = status_of(rollout(), table, [[E, S]], Budget(), answered=True, min_supported=0.0)
    assert said[0] == "complete"


def test_an_answer_without_a_page_read_is_from_memory_whatever_its_cells_say():
    for evidence in ([[U, U, U], [U, U, U]], [[S, S, S], [S, S, S]]):
        state, reason = status(rollout(read=False), FULL, evidence)
        assert state == "partial"
        assert "memory" in reason


def test_a_short_answer_from_memory_is_partial_too():
    table = Table(["answer"], [["42"]])
    said = status_of(rollout(read=False), table, [[U]], Budget(), answered=True, min_supported=0.0)
    assert said[0] == "partial"


def test_an_answer_of_which_nothing_stands_on_the_pages_that_were_read_is_partial():
    state, reason = status(rollout(), FULL, [[U, U, U], [U, U, U]])
    assert (state, reason) == ("partial", "no cell of the answer stands on a page that was read")


def test_mentioned_cells_do_not_count_as_supported_nor_do_empty_ones_drop_out():
    evidence = [[S, S, S], [S, M, E]]
    rows = [FULL[0], ["Beta", "30 m", ""]]
    assert status(rollout(), rows, evidence, min_supported=4 / 6)[0] == "complete"
    state, reason = status(rollout(), rows, evidence, min_supported=0.7)
    assert (state, reason) == ("partial", "4 of 6 cells are supported, fewer than the share of 0.7 that was asked for")


def test_every_lack_is_said():
    reason = status(rollout(read=False), [["Alpha", "", ""]], [[U, E, E]], min_supported=0.5)[1]
    assert [part in reason for part in ("memory", "height, year", "0 of 3 cells are supported")] == [True] * 3


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        ("max_turns", "raise lead.max_turns"),
        ("turn_cap", "raise sampling.max_tokens"),
        ("context", "raise lead.context_tokens"),
        ("cut", "by the model's server (finish_reason: content_filter)"),
    ],
)
def test_a_lead_that_was_cut_off_leaves_what_was_found_or_nothing(stop, said):
    word = "finish_reason: content_filter" if stop == "cut" else None
    run = rollout(answer="", stop=stop, lead_error=word)
    state, reason = status(run, FULL, [[S, S, S], [S, S, S]], answered=False)
    assert (state, said in reason) == ("partial", True)
    assert status(run, [], [], answered=False)[0] == "failed"


def subagent(stop: str, prompt: str = "find Beta") -> Trajectory:
    return Trajectory(role="sub", path="lead/1.1", prompt=prompt, stop=stop, error="503")


def test_a_subagent_whose_model_failed_leaves_work_to_do():
    run = rollout(subagent("error"), error="503")
    state, reason = status(run, FULL, [[S, S, S], [S, S, S]])
    assert state == "partial"
    assert "subagent lead/1.1" in reason
    assert "resume" in reason


def test_a_failed_subagents_work_that_another_has_done_is_not_missing():
    run = rollout(subagent("error"), subagent("answer"), error="503")
    assert status(run, FULL, [[S, S, S], [S, S, S]])[0] == "complete"


def test_a_subagent_that_reached_a_limit_of_its_own_was_told_to_its_lead():
    assert status(rollout(subagent("max_turns")), FULL, [[S, S, S], [S, S, S]])[0] == "complete"


def test_every_status_but_complete_has_an_exit_code_that_is_not_nought():
    assert [name for name, code in EXIT_CODES.items() if code == 0] == ["complete"]
