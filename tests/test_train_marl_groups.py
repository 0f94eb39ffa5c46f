"""A group of rollouts is judged side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.marl import config
from wideseek.policy.base import Sampling, ToolSchema
from wideseek.records import Completion, Task, Trajectory
from wideseek.roles import Profile
from wideseek.scoring.judge import Case, ExactJudge
from wideseek.team import Team
from wideseek.tools.corpus import Corpus
from wideseek.train.groups import make_group
from wideseek.train.questions import Question

GROUP = 4


class Says:
    """A policy that answers at once."""

    name, version, sampling = "says", 0, Sampling()

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        return Completion(text="\\boxed{nobody knows}")

    async def close(self) -> None: ...


class Waits(ExactJudge):
    """A judge that gives no verdict until it has been asked about each rollout of the group."""

    def __init__(self) -> None:
        self.asked, self._all = 0, asyncio.Event()

    async def accepts(self, case: Case, answer: str, accepted: Sequence[str]) -> bool:
        self.asked += 1
        if self.asked == GROUP:
            self._all.set()
        await self._all.wait()
        return False


async def test_all_rollouts_of_a_group_are_judged_at_the_same_time(tmp_path: Path) -> None:
    Corpus.build([], tmp_path / "index")
    source = Corpus.open(tmp_path / "index")
    team = Team({"lead": Says()}, source, profile=Profile.load("default"))
    task = Task(instance_id="d", question="Where?", answer=["here"], kind="deep")
    judge = Waits()
    group = await make_group(Question(0, task, 2, 0), team, config(group=GROUP), judge)
    assert judge.asked == GROUP
    assert [score.value for score in group.scores] == [0.0] * GROUP
    await source.close()
