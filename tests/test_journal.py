"""The journal: what is done is not done again, and a different request is a miss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import QUESTION, MemorySource, Model, delegate, script, table, team
from wideseek.budget import Budget, Limits
from wideseek.errors import PolicyUnavailable, RunDirError
from wideseek.journal import Journal
from wideseek.policy.scripted import Expert
from wideseek.records import Completion, Rollout, Task, Trajectory, Usage
from wideseek.team import PageTools

TASK = Task(question=QUESTION)


def without_times(rollout: Rollout) -> Rollout:
    rollout.seconds = 0
    for run in rollout.trajectories:
        run.seconds = 0
        for turn in run.turns:
            turn.seconds = 0
    return rollout


async def test_a_second_run_repeats_no_call_and_gives_the_same_rollout(tmp_path):
    with Journal(tmp_path) as journal:
        first = await team(Expert(), Expert(), journal=journal).solve(TASK)
    source = MemorySource()

    def unreachable(run: Trajectory) -> str:
        raise AssertionError("a recorded call was made again")

    offline = Model(unreachable, name="expert")
    with Journal(tmp_path) as journal:
        again = await team(offline, offline, source=source, journal=journal).solve(TASK)
    assert source.calls == []
    assert without_times(again) == without_times(first)


async def test_a_run_goes_on_after_the_last_recorded_call(tmp_path):
    def fails_late(run: Trajectory) -> str:
        if run.prompt == "b":
            raise PolicyUnavailable("killed here")
        return f"report on {run.prompt}"

    lead = Model(script(delegate("a", "b"), table("| A | 1 |")))
    with Journal(tmp_path) as journal:
        await team(lead, Model(fails_late), journal=journal).solve(TASK)
    sub = Model(lambda run: f"report on {run.prompt}")
    with Journal(tmp_path) as journal:
        rollout = await team(lead, sub, journal=journal).solve(TASK)
    assert sub.calls == 1
    assert rollout.error is None


async def test_another_question_at_the_same_place_is_a_miss(tmp_path):
    model = Model(script("an answer"))
    for question in ("one", "two", "one"):
        with Journal(tmp_path) as journal:
            await team(model, journal=journal).solve(Task(question=question))
    assert model.calls == 2


async def test_another_model_is_a_miss(tmp_path):
    for name in ("small", "large", "small"):
        with Journal(tmp_path) as journal:
            model = Model(script("an answer"), name=name)
            await team(model, journal=journal).solve(TASK)
    assert model.calls == 0


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path):
    with Journal(tmp_path) as journal:
        journal.record("a", "1", Completion(text="whole"))
        journal.record("b", "1", Completion(text="torn"))
    file = tmp_path / "journal.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    with Journal(tmp_path) as journal:
        assert journal.recall("b", "1", Completion) is None
        journal.record("c", "1", Completion(text="after"))
    with Journal(tmp_path) as journal:
        assert journal.recall("a", "1", Completion).text == "whole"
        assert journal.recall("c", "1", Completion).text == "after"
    assert all(json.loads(line) for line in file.read_text().splitlines())


DEEP = b"[" * 1000 + b"]" * 1000
DAMAGE = {
    "broken JSON": b"{oops}",
    "nothing": b"",
    "a header that is none": b'{"type":"journal","format":"one"}',
    "another type of place": b'{"type":"call","place":7,"digest":"1","value":{}}',
    "a value that is no call": b'{"type":"call","place":"b","digest":"1","value":7}',
    "a cost that is text": b'{"type":"call","place":"b","digest":"1","value":{"usage":{"calls":"many"}}}',
    "a number beyond all numbers": b'{"type":"call","place":"b","digest":"1","value":{"usage":{"usd":1e999}}}',
    "invalid UTF-8 around the value": b'{"type":"call\xff","place":"b","digest":"1","value":{}}',
    "invalid UTF-8 in the value": b'{"type":"call","place":"b","digest":"1","value":{"text":"\xff"}}',
    "nested deeply": b'{"type":"call","place":"b","digest":"1","value":{"tool_calls":[' + DEEP + b"]}}",
    "a bare carriage return in a text": b'{"type":"call","place":"b","digest":"1","value":{"text":"a\rb',
    "bytes": bytes(range(11, 256)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("where", [0, 1, 2, 3])
def test_a_line_that_cannot_be_read_is_skipped_and_named_wherever_it_stands(tmp_path, damage, where):
    once = Usage(calls=1, prompt_tokens=10)
    with Journal(tmp_path) as journal:
        journal.record("a", "1", Completion(text="x", usage=once))
        journal.record("c", "1", Completion(text="y", usage=once))
    file = tmp_path / "journal.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:where], damage + b"\n", *lines[where:]]))
    with Journal(tmp_path) as journal:
        assert journal.recall("a", "1", Completion).text == "x"
        assert journal.recall("b", "1", Completion) is None
        assert journal.recall("c", "1", Completion).text == "y"
        assert journal.spent() == once + once
        assert f"1 line of {file} could not be read and was skipped (line {where + 1})" in journal.note
        journal.record("b", "1", Completion(text="made again"))
    with Journal(tmp_path) as journal:
        assert journal.recall("b", "1", Completion).text == "made again"


def test_a_bare_carriage_return_ends_no_line(tmp_path):
    with Journal(tmp_path) as journal:
        journal.record("a", "1", Completion(text="x"))
    file = tmp_path / "journal.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"place"', b'\r"place"'))
    with Journal(tmp_path) as journal:
        assert journal.recall("a", "1", Completion).text == "x"
        assert journal.note == ""


@given(lines=st.lists(st.binary(max_size=40), max_size=8))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_among_the_lines_lose_a_call(tmp_path, lines):
    file = tmp_path / "journal.jsonl"
    file.unlink(missing_ok=True)
    with Journal(tmp_path) as journal:
        journal.record("a", "1", Completion(text="x"))
    file.write_bytes(file.read_bytes() + b"".join(line + b"\n" for line in lines))
    with Journal(tmp_path) as journal:
        journal.record("b", "1", Completion(text="y"))
    with Journal(tmp_path) as journal:
        assert journal.recall("a", "1", Completion).text == "x"
        assert journal.recall("b", "1", Completion).text == "y"


async def test_a_call_whose_line_is_damaged_is_made_again_and_no_other(tmp_path):
    model = Model(script(delegate("a"), table("| A | 1 |")))
    sub = Model(lambda run: "report")
    with Journal(tmp_path) as journal:
        first = await team(model, sub, journal=journal).solve(TASK)
    file = tmp_path / "journal.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b"report" in line)
    lines[place] = lines[place].replace(b'"usage":{', b'"usage":[{')
    file.write_bytes(b"".join(lines))
    calls = model.calls, sub.calls
    with Journal(tmp_path) as journal:
        again = await team(model, sub, journal=journal).solve(TASK)
    assert without_times(again) == without_times(first)
    assert (model.calls, sub.calls) == (calls[0], calls[1] + 1)
    assert f"(line {place + 1})" in journal.note


def test_a_journal_that_is_a_link_is_not_written_through(tmp_path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir()
    for name in ("journal.jsonl", "lock"):
        victim.write_text("mine")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(victim)
        with pytest.raises(RunDirError, match=f"{name}: is a link to .*victim.*: remove the link"):
            Journal(run)
        assert victim.read_text() == "mine"
        (run / name).unlink()
    with Journal(run):
        pass


def test_a_journal_that_is_no_file_is_one_clear_error(tmp_path):
    os.mkfifo(tmp_path / "journal.jsonl")
    with pytest.raises(RunDirError, match="it is not a file"):
        Journal(tmp_path)
    (tmp_path / "journal.jsonl").unlink()
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(RunDirError, match="cannot be opened"):
        Journal(tmp_path)


def test_a_journal_of_a_newer_format_is_refused(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"type":"journal","format":99}\n')
    with pytest.raises(RunDirError, match="format 99.*upgrade"):
        Journal(tmp_path)


def test_two_runs_cannot_share_a_folder(tmp_path):
    with Journal(tmp_path), pytest.raises(RunDirError, match="another run is using it"):
        Journal(tmp_path)
    with Journal(tmp_path):
        pass


def test_a_killed_run_frees_its_folder(tmp_path):
    code = f"from wideseek.journal import Journal; import os; Journal(__import__('pathlib').Path({str(tmp_path)!r})); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    with Journal(tmp_path):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to play a full disk")
def test_a_full_disk_is_one_clear_error(tmp_path):
    with Journal(tmp_path) as journal:
        os.close(journal._file)
        journal._file = os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(RunDirError, match=r"No space left on device.*run the same again"):
            journal.record("a", "1", Completion(text="x"))


def test_a_folder_below_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirError, match="choose another folder"):
        Journal(tmp_path / "file" / "run")


async def test_what_a_resumed_run_had_spent_counts(tmp_path):
    with Journal(tmp_path) as journal:
        crew = team(Expert(), Expert(), journal=journal)
        await crew.solve(TASK)
        spent = crew.budget.spent
    with Journal(tmp_path) as journal:
        assert journal.spent() == spent


async def test_a_summary_is_paid_for_once_in_a_resumed_run(tmp_path):
    read = script([("access", {"url": "https://pocket.example/dueodde"})], "done")
    model = Model(lambda run: "a summary" if run.role == "summary" else read(run), tokens=10)
    for _ in range(2):
        with Journal(tmp_path) as journal:
            budget = Budget(spent=journal.spent())
            page_tools = PageTools(shown_only=False, summarise=True)
            crew = team(model, journal=journal, budget=budget, page_tools=page_tools)
            await crew.solve(TASK, workflow="single")
        assert model.calls == 3
        assert (budget.spent.calls, budget.spent.tokens) == (3, 30)


async def test_a_replay_says_the_same_budget_notices_whatever_the_clock(tmp_path):
    model = Model(script([("search", {"query": "x"})], [("search", {"query": "y"})], "what I have"), tokens=450)
    limits = Limits(tokens=1000)
    with Journal(tmp_path) as journal:
        first = await team(model, journal=journal, budget=Budget(limits)).solve(TASK, workflow="single")
    calls = model.calls
    with Journal(tmp_path) as journal:
        budget = Budget(limits, spent=journal.spent())
        again = await team(model, journal=journal, budget=budget).solve(TASK, workflow="single")
    assert model.calls == calls
    assert without_times(again) == without_times(first)


async def test_a_larger_budget_goes_on_where_the_smaller_one_had_closed(tmp_path):
    model = Model(script([("search", {"query": "x"})], [("search", {"query": "y"})], "answer"), tokens=450)
    with Journal(tmp_path) as journal:
        crew = team(model, journal=journal, budget=Budget(Limits(tokens=1000)))
        assert (await crew.solve(TASK, workflow="single")).partial
    with Journal(tmp_path) as journal:
        budget = Budget(Limits(tokens=5000), spent=journal.spent())
        rollout = await team(model, journal=journal, budget=budget).solve(TASK, workflow="single")
    assert not rollout.partial
    assert journal.recalled >= 3


async def test_a_partial_run_resumed_with_the_same_budget_is_the_same_and_costs_nothing(tmp_path):
    limits = Limits(calls=10)
    with Journal(tmp_path) as journal:
        crew = team(Expert(), Expert(), journal=journal, budget=Budget(limits))
        first = await crew.solve(TASK)
    assert first.partial
    for _ in range(2):
        with Journal(tmp_path) as journal:
            budget = Budget(limits, spent=journal.spent())
            again = await team(Expert(), Expert(), journal=journal, budget=budget).solve(TASK)
        assert again.answer == first.answer
        assert budget.spent.calls == crew.budget.spent.calls
