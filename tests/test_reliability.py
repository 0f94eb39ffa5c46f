"""Faulty servers and real kills: nothing is lost, nothing is done twice, and the table is the same."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.clock import loop
from tests.faulty_server import FAULTS, FaultyServer, team
from tests.helpers import LIGHTHOUSES, QUESTION, lighthouse_pages
from wideseek import ask_async
from wideseek.journal import digest
from wideseek.tools.corpus import Corpus

WIDTH = 200
TIMEOUT_S = 600.0
PATIENT = {"chat__timeout_s": TIMEOUT_S, "chat__backoff_s": 0.02, "chat__attempts": 12, "chat__concurrency": 200}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "index"
    Corpus.build(lighthouse_pages(), folder)
    return folder


async def ask_through(server: FaultyServer, corpus: Path, **options: Any) -> Any:
    model = f"{server.url}#mock"
    return await ask_async("Look up all items.", model=model, corpus=corpus, width=WIDTH, **PATIENT, **options)


async def test_two_hundred_subagents_survive_a_server_that_fails_a_fifth_of_its_calls(corpus, tmp_path):
    answer = team(width=WIDTH, sub_turns=2)
    async with FaultyServer(answer) as healthy:
        expected = await ask_through(healthy, corpus)
    kinds = [kind for kind in FAULTS if kind != "hang"]  # a time-out would end other calls too: see the next test
    async with FaultyServer(answer, faults=0.2, kinds=kinds, retry_after="1") as faulty:
        result = await ask_through(faulty, corpus, run_dir=tmp_path / "run")
    assert len(expected.table.rows) == WIDTH
    assert result.table == expected.table
    assert (result.status, result.reason) == (expected.status, expected.reason)  # partial: this model reads no page
    assert result.rollout.error is None
    assert result.notes == []
    assert {run.stop for run in result.rollout.trajectories} == {"answer"}
    assert set(faulty.stats.faults) == set(kinds)
    assert faulty.stats.faults.total() > 40
    assert faulty.stats.completed == 2 + 2 * WIDTH


async def test_two_hundred_subagents_survive_a_server_that_lets_every_request_hang_once(corpus, tmp_path):
    answer = team(width=WIDTH, sub_turns=2)
    async with FaultyServer(answer, faults=1.0, kinds=["hang"], fault_attempts=1) as server:
        asked = asyncio.ensure_future(ask_through(server, corpus, run_dir=tmp_path / "run"))
        hanging = 0
        for calls in (1, WIDTH, WIDTH, 1):  # the lead's first turn, both turns of its subagents, the lead's last
            hanging += calls
            await server.until(lambda stats: stats.faults["hang"] == hanging)  # noqa: B023
            loop().skip(TIMEOUT_S)
        result = await asked
    assert len(result.table.rows) == WIDTH
    assert {run.stop for run in result.rollout.trajectories} == {"answer"}
    assert (result.status, result.notes) == ("partial", [])  # only since this model reads no page
    assert result.reason.startswith("no page was read")
    assert server.stats.completed == 2 + 2 * WIDTH


# ------------------------------------------------------------------------------------------------------------ kills


def marked(request: dict[str, Any]) -> str:
    return f"<{digest(request['messages'])}>"


def careful_team(request: dict[str, Any]) -> dict[str, Any]:
    """A model whose every reply carries a mark of its request; subagents search, read, then report what they read."""
    tools = [tool["function"]["name"] for tool in request["tools"]]
    turn = sum(message["role"] == "assistant" for message in request["messages"])
    told = request["messages"][-1]["content"]

    def calls(name: str, **arguments: Any) -> dict[str, Any]:
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"content": marked(request), "tool_calls": [{"id": "c", "type": "function", "function": function}]}

    if "call_subagent" in tools:
        if turn == 0:
            return calls("call_subagent", subtasks=list(LIGHTHOUSES))
        rows = re.findall(r"\| \w+ \| \d+ m \|", told)
        return {
            "content": f"{marked(request)}\n```markdown\n| name | height |\n|---|---|\n" + "\n".join(rows) + "\n```"
        }
    name = next(name for name in LIGHTHOUSES if f"Subtask: {name}" in request["messages"][1]["content"])
    if turn == 0:
        return calls("search", query=name)
    if turn == 1:
        return calls("access", url=f"https://pocket.example/{name.lower()}")
    height = re.search(r"height: (\d+ m)", told)
    return {"content": f"{marked(request)} | {name} | {height[1] if height else '?'} |"}


def completed(run_dir: Path) -> list[str]:
    """The marks of the model calls in a journal."""
    journal = run_dir / "journal.jsonl"
    whole = journal.read_text().rpartition("\n")[0] if journal.exists() else ""
    return [mark for line in whole.splitlines() for mark in re.findall(r"<[0-9a-f]{24}>", line)[:1]]


class Command:
    """`wideseek ask` as a process of its own."""

    def __init__(self, server: FaultyServer, corpus: Path, run_dir: Path) -> None:
        self.server, self.run_dir = server, run_dir
        self._new = [QUESTION, "--model", f"{server.url}#mock", "--corpus", str(corpus), "--run-dir", str(run_dir)]

    async def start(self, *, resume: bool = False) -> asyncio.subprocess.Process:
        arguments = ["--resume", str(self.run_dir)] if resume else self._new
        command = [sys.executable, "-m", "wideseek", "ask", *arguments, "--json"]
        return await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)

    async def kill_after(self, answers: int, *, resume: bool = False) -> None:
        """SIGKILL once the server has given so many answers and is asked for one more (or the process has ended)."""
        self.server.answers_left = answers
        process = await self.start(resume=resume)
        ended = asyncio.ensure_future(process.wait())
        asked = asyncio.ensure_future(self.server.until(lambda stats: stats.held))
        await asyncio.wait([ended, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not ended.done():
            process.send_signal(signal.SIGKILL)
        await ended
        self.server.release()

    async def finish(self, *, resume: bool = False) -> dict[str, Any]:
        process = await self.start(resume=resume)
        out, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        return json.loads(out)


async def test_a_run_killed_at_ten_random_points_ends_with_the_same_table_and_repeats_no_completed_call(
    corpus, tmp_path
):
    async with FaultyServer(careful_team) as server:
        expected = await Command(server, corpus, tmp_path / "undisturbed").finish()
        total = len(server.requests)
    assert [row[1] for row in expected["rows"]] == [facts[0] for facts in LIGHTHOUSES.values()]
    assert total == 1 + 3 * len(LIGHTHOUSES) + 1

    points = random.Random(7)
    for number in range(5):  # five runs, each killed twice: early, and again after its first resume
        run_dir = tmp_path / f"run-{number}"
        early, late = sorted(points.sample(range(total), 2))
        async with FaultyServer(careful_team) as server:
            command = Command(server, corpus, run_dir)
            await command.kill_after(early)
            for answers in (late - early, None):
                done, asked = set(completed(run_dir)), len(server.requests)
                if answers is not None:
                    await command.kill_after(answers, resume=True)
                else:
                    resumed = await command.finish(resume=True)
                again = {marked(request) for request in server.requests[asked:]} & done
                assert not again, f"killed at {early}, {late} of {total}: completed calls were made again"
        assert resumed["rows"] == expected["rows"]
        assert resumed["evidence"] == expected["evidence"]
        assert resumed["usage"]["calls"] == expected["usage"]["calls"]
        entries = [json.loads(line) for line in (run_dir / "journal.jsonl").read_text().splitlines()[1:]]
        repeated = [key for key, n in Counter((e["place"], e["digest"]) for e in entries).items() if n > 1]
        assert not repeated, "a completed model or tool call was made and recorded again"


async def test_a_finished_run_replays_offline(corpus, tmp_path):
    async with FaultyServer(careful_team) as server:
        command = Command(server, corpus, tmp_path / "run")
        expected = await command.finish()
    replayed = await command.finish(resume=True)  # the server is gone
    assert replayed["rows"] == expected["rows"]
    assert replayed["evidence"] == expected["evidence"]


async def test_ctrl_c_ends_a_run_with_the_findings_so_far(corpus, tmp_path):
    async with FaultyServer(careful_team) as server:
        command = Command(server, corpus, tmp_path / "run")
        server.answers_left = 8  # the lead's first turn and more than two turns of each subagent
        process = await command.start()
        await server.until(lambda stats: stats.held)
        process.send_signal(signal.SIGINT)
        out, error = await process.communicate()
        assert process.returncode == 130, error.decode()
        server.release()
        result = json.loads(out)
        assert result["status"] == "interrupted"
        assert "interrupted" in result["reason"]
        finished = await command.finish(resume=True)
    assert [row[1] for row in finished["rows"]] == [facts[0] for facts in LIGHTHOUSES.values()]
