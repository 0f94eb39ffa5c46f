"""Budgets end gracefully: agents are told, the lead keeps the last stretch, findings become a partial table."""

from __future__ import annotations

import asyncio

import pytest

from tests.clock import frozen, loop, settled, wait_begun
from tests.helpers import LIGHTHOUSES, QUESTION, MemorySource, Model, delegate, replies, script, table, team
from wideseek.budget import Budget, Limits
from wideseek.errors import BudgetEnded
from wideseek.policy.scripted import Expert
from wideseek.records import Task, Trajectory, Usage

TASK = Task(question=QUESTION)


async def test_without_limits_nothing_ends():
    budget = Budget()
    async with budget.call(lead=False):
        pass
    assert not budget.limited
    assert not budget.closing
    assert budget.spent.calls == 1


async def test_subagents_are_refused_before_the_lead_is():
    budget = Budget(Limits(calls=10), spent=Usage(calls=9))
    with pytest.raises(BudgetEnded, match="9 of 10 model calls"):
        async with budget.call(lead=False):
            pass
    async with budget.call(lead=True):
        pass
    with pytest.raises(BudgetEnded):
        async with budget.call(lead=True):
            pass


@pytest.mark.parametrize(
    ("limits", "spent", "words"),
    [
        (Limits(tokens=1000), Usage(prompt_tokens=700, completion_tokens=400), "1,100 of 1,000 tokens"),
        (Limits(usd=0.5), Usage(usd=0.5), "0.5 of 0.5 US dollars"),
        (Limits(calls=3), Usage(calls=3), "3 of 3 model calls"),
    ],
)
async def test_each_limit_ends_the_run_and_says_which(limits, spent, words):
    budget = Budget(limits, spent=spent)
    assert budget.closing
    with pytest.raises(BudgetEnded, match=words):
        async with budget.call(lead=True):
            pass


async def hang(budget: Budget, *, lead: bool) -> None:
    async with budget.call(lead=lead):
        await asyncio.Event().wait()


async def test_time_cuts_off_a_hanging_call_and_leaves_the_lead_the_last_stretch():
    budget = Budget(Limits(seconds=400, reserve=0.5), clock=frozen(loop()))
    call = asyncio.create_task(hang(budget, lead=False))
    await settled()
    loop().skip(299)
    await settled()
    assert not call.done()
    loop().skip(1)
    with pytest.raises(BudgetEnded, match="300 of 400 seconds"):
        await call
    async with budget.call(lead=True):
        pass
    call = asyncio.create_task(hang(budget, lead=True))
    await settled()
    loop().skip(99)
    await settled()
    assert not call.done()
    loop().skip(1)
    with pytest.raises(BudgetEnded, match="400 of 400 seconds"):
        await call


async def test_an_interrupt_cuts_off_every_running_call():
    budget = Budget()
    jobs = [asyncio.create_task(hang(budget, lead=True)) for _ in range(5)]
    await settled()
    budget.interrupt()
    ended = await asyncio.gather(*jobs, return_exceptions=True)
    assert all(isinstance(error, BudgetEnded) for error in ended)


async def test_a_timeout_of_the_callers_own_is_not_taken_for_the_budgets_end():
    with pytest.raises(TimeoutError):
        async with Budget(Limits(seconds=60)).call(lead=True):
            raise TimeoutError


async def test_when_the_budget_closes_agents_are_told_and_no_new_work_starts():
    source = MemorySource()
    search = [("search", {"query": "Denmark"})]
    model = Model(script(search, search, "what I have"), tokens=450)
    crew = team(model, source=source, budget=Budget(Limits(tokens=1000)))
    rollout = await crew.solve(TASK, workflow="single")
    first, second = replies(rollout.lead)
    assert "nearly spent" not in first
    assert "Not run" in second
    assert "nearly spent" in second
    assert len(source.calls) == 1
    assert rollout.stop == "answer"
    assert rollout.partial


async def test_the_lead_writes_its_table_after_its_subagents_were_cut_off_by_time():
    def sub(run: Trajectory) -> str:
        return "report"

    slow, budget = Model(sub, seconds=3_000), Budget(Limits(seconds=500, reserve=0.6), clock=frozen(loop()))
    crew = team(script(delegate("a", "b"), table("| A | 1 |")), slow, budget=budget)
    solving = asyncio.create_task(crew.solve(TASK))
    await wait_begun(3_000)
    loop().skip(350)
    rollout = await solving
    assert [run.stop for run in rollout.trajectories] == ["answer", "budget", "budget"]
    assert "| A | 1 |" in rollout.answer
    assert rollout.partial


async def test_the_expert_on_few_calls_gives_the_rows_it_has():
    crew = team(Expert(), Expert(), budget=Budget(Limits(calls=12, reserve=0.3)))
    rollout = await crew.solve(TASK)
    assert rollout.partial
    assert rollout.usage.calls <= 12
    assert all(name in rollout.answer for name in LIGHTHOUSES)


@pytest.mark.parametrize("calls", range(1, 14))
async def test_no_run_makes_more_calls_than_it_may(calls):
    crew = team(Expert(), Expert(), budget=Budget(Limits(calls=calls)))
    rollout = await crew.solve(TASK)
    assert crew.budget.spent.calls <= calls
    assert rollout.stop in ("answer", "budget")


async def test_a_round_of_parallel_calls_does_not_run_past_the_token_limit_together():
    sub = Model(script("report"), tokens=100)
    lead = Model(script(delegate(*map(str, range(10))), table("| A | 1 |")), tokens=100)
    crew = team(lead, sub, budget=Budget(Limits(tokens=600)))
    rollout = await crew.solve(TASK)
    assert crew.budget.spent.tokens <= 700
    assert rollout.stop == "answer"  # the last stretch was left for the lead
