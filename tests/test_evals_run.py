"""Evaluations: resumed after real kills, failures of the infrastructure unscored, budgets kept, nothing lost."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tests.clock import loop, wait_begun
from tests.faulty_server import FaultyServer
from tests.helpers import LIGHTHOUSES, Model, delegate, lighthouse_pages, script, table, team
from wideseek.budget import Budget, Limits
from wideseek.config import Config
from wideseek.errors import BadInput, PolicyRejected, PolicyUnavailable, RunDirError
from wideseek.evals import EvalRun, Setup, load_run
from wideseek.evals.compare import compare
from wideseek.evals.progress import Bar, Lines, duration
from wideseek.evals.run import Progress, evaluate, evaluate_bench
from wideseek.journal import digest
from wideseek.records import Score, Task, Trajectory, Usage, write_jsonl
from wideseek.scoring.judge import ExactJudge, JudgeFailed
from wideseek.scoring.table import score_response
from wideseek.tools.corpus import Corpus

GOLD = table(*(f"| {name} | {height} |" for name, (height, _) in LIGHTHOUSES.items()))
RIGHT, HALF = GOLD, table("| Bovbjerg | 26 m |")


def lighthouse_tasks(count: int) -> list[Task]:
    return [
        Task(
            instance_id=f"t{i}",
            question=f"Which lighthouses of Denmark are there? Give the height of each (list {i}).",
            answer=GOLD,
            unique_columns=["name"],
            required=["name", "height"],
        )
        for i in range(count)
    ]


def setup(trials: int = 1, **fields: Any) -> Setup:
    return Setup(bench="lighthouses", trials=trials, model="model", **fields)


def figures(run: EvalRun) -> dict[str, Any]:
    """All of the summary that does not depend on the clock, on a kill, or on the server's port."""
    summary = msgspec.to_builtins(run.summary)
    summary.pop("model")
    for name in ("seconds", "critical_seconds", "timed"):
        summary["work"].pop(name, None)
    summary["costs"].pop("abandoned")
    summary["costs"].pop("total")
    return summary


def number(run: Trajectory) -> int:
    """Which of the tasks an agent is at."""
    return int(re.search(r"list (\d+)", run.prompt)[1])


# --------------------------------------------------------------------------------------------------------- the expert


async def test_the_expert_answers_every_task_of_the_pocket_world_at_width_ten(tmp_path):
    run = await evaluate_bench("pocket", Config(model="expert"), tmp_path / "run", kind="wide")
    summary = run.summary
    assert (summary.status, summary.scored, summary.unscored) == ("complete", 307, {})
    assert (summary.success.avg, summary.item_f1.avg, summary.row_f1.avg, summary.success.pass_at_n) == (1, 1, 1, 1)
    assert summary.official.success.avg == 1
    assert summary.supported == 1
    assert summary.work.width > 1
    assert summary.work.critical_steps < summary.work.turns
    assert not list((tmp_path / "run" / "attempts").iterdir())
    assert run.setup.width == 10


async def test_short_answers_are_scored_beside_tables(tmp_path):
    run = await evaluate_bench("pocket", Config(model="expert"), tmp_path / "run", kind="deep", limit=25)
    assert (run.summary.success.avg, run.summary.em.avg) == (1, 1)
    assert run.summary.item_f1 is None


# -------------------------------------------------------------------------------------------------------- the folder


async def test_a_run_folder_gives_back_what_was_done(tmp_path):
    pages = {page.url: page for page in lighthouse_pages()}
    lead = script(delegate("Bovbjerg", "Dueodde"), RIGHT)
    sub = script([("search", {"query": "lighthouses"})], [("access", {"url": next(iter(pages))})], "done")
    run = await evaluate(lighthouse_tasks(2), team(lead, sub), tmp_path, setup(trials=2))
    assert load_run(tmp_path).attempts == run.attempts
    assert [row.place for row in run.attempts] == [("t0", 0), ("t0", 1), ("t1", 0), ("t1", 1)]
    rollout = run.rollout("t1", 1)
    assert (rollout.task.instance_id, rollout.trial, rollout.answer) == ("t1", 1, RIGHT)
    assert [trajectory.path for trajectory in rollout.trajectories] == ["lead", "lead/1.1", "lead/1.2"]
    assert rollout.pages == {next(iter(pages)): next(iter(pages.values()))}
    assert len((tmp_path / "pages.jsonl").read_text().splitlines()) == 1  # four rollouts and eight agents read it
    assert [r.task.instance_id for r in run.rollouts()] == ["t0", "t0", "t1", "t1"]
    assert run.scores("t0", 1)["strict"].parts["score"] == 1
    with pytest.raises(RunDirError, match="no rollout of task 't9', trial 0"):
        run.rollout("t9", 0)


async def test_wrong_cells_can_be_looked_up(tmp_path):
    wrong = RIGHT.replace("47 m", "48 m")
    run = await evaluate(lighthouse_tasks(1), team(wrong), tmp_path, setup())
    rows = run.scores("t0", 0)["strict"].rows
    assert [(cell.said, cell.gold) for row in rows for cell in row.wrong] == [("48 m", "47 m")]
    assert 0 < run.summary.item_f1.avg < 1


async def test_a_finished_run_is_not_run_again(tmp_path):
    model = Model(script(RIGHT))
    first = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup())
    again = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup())
    assert model.calls == 3
    assert figures(again) == figures(first)


@pytest.mark.parametrize("torn", [b'{"task":', b"x" * 200_000])
async def test_lines_torn_by_a_kill_are_dropped(tmp_path, torn):
    model = Model(script(RIGHT))
    first = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup())
    files = [tmp_path / f"{name}.jsonl" for name in ("rollouts", "scores", "details", "pages")]
    whole = [path.read_bytes() for path in files]
    for path in files:
        path.write_bytes(path.read_bytes() + torn)
    assert load_run(tmp_path).attempts == first.attempts
    assert len(list(load_run(tmp_path).rollouts())) == 3
    again = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup())
    assert [path.read_bytes() for path in files] == whole
    assert (figures(again), model.calls) == (figures(first), 3)


async def test_a_row_lost_in_a_kill_is_made_again_from_the_journal_or_by_a_call(tmp_path):
    model = Model(script(RIGHT))
    first = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup())
    scores = tmp_path / "scores.jsonl"
    scores.write_bytes(b"".join(scores.read_bytes().splitlines(keepends=True)[:2]))
    again = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup())
    assert (figures(again), model.calls) == (figures(first), 4)
    assert len(list(again.rollouts())) == 3


async def test_trials_can_be_added(tmp_path):
    model = Model(script(RIGHT))
    await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup(trials=1))
    run = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup(trials=3))
    assert (model.calls, run.summary.trials, run.summary.scored) == (9, 3, 9)
    with pytest.raises(RunDirError, match="trials was 3, now it is 1"):
        await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup(trials=1))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model": "other"}, "model was 'model', now it is 'other': choose another --out"),
        ({"config": {"lead": {"max_calls": 3}}}, "lead was None, now it is {'max_calls': 3}"),
        ({"today": "2020-01-01"}, "today was"),
    ],
)
async def test_a_folder_belongs_to_one_evaluation(tmp_path, change, problem):
    await evaluate(lighthouse_tasks(1), team(RIGHT), tmp_path, setup())
    with pytest.raises(RunDirError, match=problem):
        await evaluate(lighthouse_tasks(1), team(RIGHT), tmp_path, msgspec.structs.replace(setup(), **change))
    await evaluate(lighthouse_tasks(1), team(RIGHT), tmp_path, setup(config={"budget": {"calls": 9}}))
    with pytest.raises(RunDirError, match="the set of tasks was '1 with digest"):
        await evaluate(lighthouse_tasks(2), team(RIGHT), tmp_path, setup())


async def test_two_runs_do_not_share_a_folder(tmp_path):
    model = Model(script(RIGHT), seconds=3_600)
    first = asyncio.create_task(evaluate(lighthouse_tasks(1), team(model), tmp_path, setup()))
    await wait_begun(3_600)
    with pytest.raises(RunDirError, match="another run is using it"):
        await evaluate(lighthouse_tasks(1), team(RIGHT), tmp_path, setup())
    loop().skip(3_600)
    assert (await first).summary.scored == 1


async def test_tasks_are_checked_before_anything_runs(tmp_path):
    with pytest.raises(BadInput, match="occurs twice"):
        await evaluate(lighthouse_tasks(1) * 2, team(RIGHT), tmp_path / "run", setup())
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(RunDirError, match="no evaluation here"):
        load_run(tmp_path)


async def test_two_runs_can_be_compared(tmp_path):
    worse = await evaluate(lighthouse_tasks(6), team(HALF), tmp_path / "a", setup())
    better = await evaluate(lighthouse_tasks(6), team(RIGHT), tmp_path / "b", setup())
    first = compare(worse, better).differences[0]
    assert (first.metric, first.b, first.better, first.p) == ("item_f1", 1.0, 6, 2 / 64)


# ----------------------------------------------------------------------------------------- failures and their retries


async def test_what_the_agent_does_wrong_scores_nought(tmp_path):
    run = await evaluate(lighthouse_tasks(2), team("I do not know."), tmp_path, setup())
    assert (run.summary.success.avg, run.summary.item_f1.avg, run.summary.scored) == (0, 0, 2)
    assert run.summary.status == "complete"


async def test_an_outage_leaves_attempts_unscored_and_is_mended_by_a_resume(tmp_path):
    down = True

    def lead(run: Trajectory) -> Any:
        return delegate("Bovbjerg") if not run.turns else RIGHT

    def sub(run: Trajectory) -> Any:
        if run.turns and down and attempts["sub"] % 2:
            raise PolicyUnavailable("the server is down")
        attempts["sub"] += 1
        return [("search", {"query": run.prompt})] if not run.turns else "done"

    attempts = {"sub": 0}
    crew = team(lead, sub)
    broken = await evaluate(lighthouse_tasks(6), crew, tmp_path, setup(), concurrency=1)
    summary = broken.summary
    failed = [row for row in broken.attempts if row.outcome == "policy"]
    assert failed
    assert summary.unscored == {"policy": len(failed)}
    assert summary.status == "partial"
    assert summary.problems == [f"{len(failed)} × the server is down"]
    assert summary.success.avg == 1.0  # over what was scored
    assert summary.success.bound == (6 - len(failed)) / 6
    assert all(not row.scores for row in failed)

    down = False
    before = crew.policies["lead"].calls, crew.policies["sub"].calls
    mended = await evaluate(lighthouse_tasks(6), crew, tmp_path, setup(), concurrency=1)
    assert (mended.summary.status, mended.summary.success.bound) == ("complete", 1.0)
    calls = crew.policies["lead"].calls - before[0], crew.policies["sub"].calls - before[1]
    # The first turn of lead and subagent is in the journal; the lead's last one had been told of the failure.
    assert calls == (len(failed), len(failed))
    assert mended.summary.costs.abandoned.calls == len(failed)


async def test_a_server_that_is_down_ends_the_run_early(tmp_path):
    def lead(run: Trajectory) -> Any:
        raise PolicyUnavailable("nobody answers")

    model = Model(lead)
    run = await evaluate(lighthouse_tasks(50), team(model), tmp_path, setup(), concurrency=2)
    assert model.calls < 8
    assert run.summary.status == "failed"
    assert run.summary.unscored["missing"] > 40
    assert re.match(r"Ended after \d failures in a row: once the model answers, the same", run.summary.notes[-1])
    assert run.summary.success is None


async def test_a_model_that_refuses_from_the_start_ends_the_run(tmp_path):
    def lead(run: Trajectory) -> Any:
        if number(run) > 1:
            raise PolicyRejected("no such model")
        return RIGHT

    with pytest.raises(PolicyRejected, match="no such model"):
        await evaluate(lighthouse_tasks(9), team(lead), tmp_path, setup(), concurrency=1)
    assert load_run(tmp_path).summary.scored == 2


async def test_a_failed_judge_is_asked_again_without_running_the_agents_again(tmp_path):
    model = Model(script(RIGHT), tokens=10)
    broken = True

    async def score(response: str | None, task: Task, **options: Any) -> Score:
        if broken and task.instance_id == "t1":
            return Score(unscored="the judge is down", judge=Usage(1, 5, 0))
        return await score_response(response, task, **options)

    run = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup(), score=score)
    assert run.summary.unscored == {"judge": 1}
    assert run.summary.problems == ["1 × strict: the judge is down"]
    assert run.summary.success.bound == pytest.approx(2 / 3)
    assert run.summary.costs.judge == Usage(1, 5, 0)
    broken = False
    mended = await evaluate(lighthouse_tasks(3), team(model), tmp_path, setup(), score=score)
    assert (mended.summary.status, mended.summary.success.avg, model.calls) == ("complete", 1.0, 3)
    assert mended.summary.costs.judge == Usage(1, 5, 0)
    assert mended.summary.costs.total.tokens == 35


class FlakyJudge(ExactJudge):
    """Fails a share of its calls."""

    def __init__(self, share: float) -> None:
        self._share, self._random = share, random.Random(1)

    async def agree(self, case: Any, column: str, pairs: Any, criterion: str) -> Any:
        if self._random.random() < self._share:
            raise JudgeFailed("no answer")
        return await super().agree(case, column, pairs, criterion)


async def test_a_judge_that_fails_a_fifth_of_its_calls_costs_scores_until_it_was_asked_again(tmp_path):
    rule = {"preprocess": ["norm_str"], "metric": ["llm_judge"], "criterion": "the same height"}
    columns = {"unique_columns": ["name"], "required": ["name", "height"], "eval_pipeline": {"height": rule}}
    tasks = [msgspec.structs.replace(task, evaluation=columns) for task in lighthouse_tasks(20)]
    one, two = RIGHT.replace("26 m", "26 metres"), HALF.replace("26 m", "a height")  # not for the judge to let pass
    model = Model(lambda run: one if number(run) % 3 else two)
    expected = await evaluate(tasks, team(model), tmp_path / "exact", setup(modes=["strict", "official"]))

    flaky = FlakyJudge(0.2)
    run = await evaluate(tasks, team(model), tmp_path / "flaky", setup(modes=["strict", "official"]), judge=flaky)
    missing = run.summary.unscored["judge"]
    assert 0 < missing < 20
    assert run.summary.item_f1.bound < expected.summary.item_f1.avg
    assert run.summary.item_f1.planned == 20
    sittings = 1
    while run.summary.unscored:
        run = await evaluate(tasks, team(model), tmp_path / "flaky", setup(modes=["strict", "official"]), judge=flaky)
        sittings += 1
    assert sittings > 1
    assert model.calls == 40  # the agents were never asked again
    assert figures(run) == figures(expected)


# ----------------------------------------------------------------------------------------------------------- budgets


async def test_a_hard_budget_holds_for_the_whole_run_and_over_its_resumes(tmp_path):
    model = Model(script(RIGHT), tokens=100)
    for _ in range(2):  # the second sitting finds the budget spent
        budget = Budget(Limits(calls=10))
        run = await evaluate(lighthouse_tasks(20), team(model, budget=budget), tmp_path, setup(), concurrency=4)
        assert model.calls <= 10
        assert run.summary.status == "partial"
        assert run.summary.scored + sum(run.summary.unscored.values()) == 20
        assert run.summary.success.avg == 1.0
        assert run.summary.success.bound == run.summary.scored / 20
        assert re.match(r"Ended by the budget: \d+ of 10 model calls: with a larger", run.summary.notes[-1])
    spent = model.calls
    rich = await evaluate(lighthouse_tasks(20), team(model, budget=Budget(Limits(calls=99))), tmp_path, setup())
    assert rich.summary.status == "complete"
    assert model.calls == 20
    assert 0 < spent < 20


async def test_a_budget_is_spent_on_attempts_that_can_end(tmp_path):
    model = Model(script(delegate("Bovbjerg"), RIGHT))
    crew = team(model, Model(script("done")), budget=Budget(Limits(calls=40)))
    run = await evaluate(lighthouse_tasks(40), crew, tmp_path, setup(), concurrency=20)
    assert run.summary.scored >= 9  # three calls each, of the 32 before the reserve
    assert sum(row.outcome == "budget" for row in run.attempts) <= 2
    assert run.summary.costs.total.calls <= 40


async def test_an_attempt_that_the_budget_cut_short_is_no_result_of_the_agents(tmp_path):
    lead = Model(script(delegate("Bovbjerg"), delegate("Dueodde"), delegate("Hanstholm"), RIGHT))
    crew = team(lead, budget=Budget(Limits(calls=5)))
    cut = await evaluate(lighthouse_tasks(1), crew, tmp_path, setup())
    assert cut.summary.unscored == {"budget": 1}
    assert re.fullmatch(r"1 × budget: \d of 5 model calls", cut.summary.problems[0])
    assert cut.rollout("t0", 0).partial  # for people to look at
    calls = lead.calls
    crew = team(lead, budget=Budget())
    whole = await evaluate(lighthouse_tasks(1), crew, tmp_path, setup())
    assert whole.summary.success.avg == 1
    assert lead.calls - calls < 4  # its first turns were taken from the journal


# ------------------------------------------------------------------------------------------------------ kills, Ctrl-C

PROCESS = """
import sys
from pathlib import Path
from wideseek.api import run
from wideseek.config import Config
from wideseek.evals.run import evaluate_bench
url, corpus, bench, out = sys.argv[1:]
config = Config(model=url + "#mock", corpus=Path(corpus), sampling={"temperature": 1.0})
ended = run(evaluate_bench(bench, config, Path(out), trials=2, concurrency=3, handle_signals=True))
print(ended.summary.status)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An index of the lighthouses, and a file of four tasks about them."""
    home = tmp_path_factory.mktemp("world")
    Corpus.build(lighthouse_pages(), home / "index")
    write_jsonl(home / "tasks.jsonl", lighthouse_tasks(4))
    return home / "index", home / "tasks.jsonl"


def marked(request: dict[str, Any]) -> str:
    """What only this request of only this agent of only this trial gives: its seed follows from its place."""
    return f"<{digest(request['messages'], request['seed'])}>"


def careful_model(request: dict[str, Any]) -> dict[str, Any]:
    """Every reply carries a mark of its request. Subagents search, read, then report; one in four leads is wrong."""
    tools = [tool["function"]["name"] for tool in request["tools"]]
    turn = sum(message["role"] == "assistant" for message in request["messages"])
    told = request["messages"][-1]["content"]

    def calls(name: str, **arguments: Any) -> dict[str, Any]:
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"content": marked(request), "tool_calls": [{"id": "c", "type": "function", "function": function}]}

    if "call_subagent" in tools and turn == 0:
        return calls("call_subagent", subtasks=list(LIGHTHOUSES))
    if "call_subagent" in tools:
        rows = re.findall(r"\| \w+ \| \d+ m \|", told)[request["seed"] % 4 == 0 :]
        return {"content": f"{marked(request)}\n{table(*rows)}"}
    name = next(name for name in LIGHTHOUSES if f"Subtask: {name}" in request["messages"][1]["content"])
    if turn == 0:
        return calls("search", query=name)
    if turn == 1:
        return calls("access", url=f"https://pocket.example/{name.lower()}")
    height = re.search(r"height: (\d+ m)", told)
    return {"content": f"{marked(request)} | {name} | {height[1] if height else '?'} |"}


class Process:
    """An evaluation in a process of its own."""

    def __init__(self, server: FaultyServer, world: tuple[Path, Path], out: Path) -> None:
        self.server, self.out = server, out
        self._command = [sys.executable, "-c", PROCESS, server.url, str(world[0]), str(world[1]), str(out)]

    async def start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*self._command, stdout=-1, stderr=-1)

    async def signal_after(self, answers: int, what: signal.Signals) -> asyncio.subprocess.Process:
        """Send a signal once the server has given this process so many answers and is asked for one more."""
        self.server.answers_left = answers
        process = await self.start()
        await self.server.until(lambda stats: stats.held)
        process.send_signal(what)
        return process

    async def finish(self) -> EvalRun:
        process = await self.start()
        out, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        assert out.decode().strip() == "complete"
        return load_run(self.out)

    def completed(self) -> set[str]:
        """The marks of all model calls that were recorded: in journals, and in the rollouts of attempts that ended."""
        files = [*self.out.glob("attempts/*/journal.jsonl"), *self.out.glob("rollouts.jsonl")]
        return {mark for path in files for mark in re.findall(r"<[0-9a-f]{24}>", path.read_text().rpartition("\n")[0])}


async def test_an_evaluation_killed_again_and_again_repeats_no_completed_call_and_ends_with_equal_figures(
    world, tmp_path
):
    async with FaultyServer(careful_model) as server:
        expected = await Process(server, world, tmp_path / "undisturbed").finish()
        total = len(server.requests)
    assert total == 4 * 2 * (2 + 3 * 3)
    assert 0 < expected.summary.success.avg < 1

    points = random.Random(5)
    async with FaultyServer(careful_model) as server:
        process = Process(server, world, tmp_path / "killed")
        for _ in range(3):
            done, asked = process.completed(), len(server.requests)
            await (await process.signal_after(points.randrange(3, total // 3), signal.SIGKILL)).wait()
            server.release()
            assert not {marked(request) for request in server.requests[asked:]} & done
        done, asked = process.completed(), len(server.requests)
        assert 0 < len(done) < total
        resumed = await process.finish()
        assert not {marked(request) for request in server.requests[asked:]} & done
    assert figures(resumed) == figures(expected)
    assert [row.scores for row in resumed.attempts] == [row.scores for row in expected.attempts]
    assert resumed.summary.costs.total.calls == total
    assert resumed.summary.work.timed < resumed.summary.scored  # what came from a journal took no time
    assert not list((process.out / "attempts").iterdir())


async def test_ctrl_c_saves_what_is_done(world, tmp_path):
    async with FaultyServer(careful_model) as server:
        process = Process(server, world, tmp_path / "run")
        running = await process.signal_after(40, signal.SIGINT)  # three attempts at a time, of 11 calls each
        out, error = await running.communicate()
        server.release()
        assert (running.returncode, out.decode().strip()) == (0, "interrupted"), error.decode()
        summary = load_run(process.out).summary
        assert 0 < summary.scored < 8
        assert summary.unscored == {"missing": 8 - summary.scored}
        done, asked = process.completed(), len(server.requests)
        finished = await process.finish()
        assert not {marked(request) for request in server.requests[asked:]} & done
    assert finished.summary.scored == 8


# ---------------------------------------------------------------------------------------------------------- progress


async def test_plain_progress_says_what_is_done_and_what_it_cost(tmp_path):
    console = Console(file=(tmp_path / "log").open("w"), width=200)
    budget = Budget(Limits(tokens=10_000))
    with Lines(console) as lines:
        model = Model(script(RIGHT), tokens=100)
        await evaluate(lighthouse_tasks(3), team(model, budget=budget), tmp_path / "run", setup(), watch=lines.watch)
    console.file.close()
    first, *_, last = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("0 of 3 attempts")
    assert last.startswith("3 of 3 attempts · item_f1 1.000 · success 1.000 · 300 of 10,000 tokens")


def test_the_bar_and_the_time_left():
    now = 100.0
    state = Progress(total=10, before=2, budget=Budget(), clock=lambda: now)
    assert (state.done, state.seconds_left) == (2, None)
    state.outcomes["scored"] = 4
    now = 108.0
    assert (state.seconds, state.seconds_left) == (8.0, 8.0)  # four in eight seconds, and four are left
    with Bar(Console(file=open("/dev/null", "w"), force_terminal=True)) as bar:  # noqa: PTH123
        bar.watch(state)
    assert [duration(s) for s in (4.2, 300, 7_500)] == ["4 s", "5 min", "2 h 05 min"]
