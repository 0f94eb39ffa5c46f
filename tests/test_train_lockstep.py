"""With `staleness = 0` a training is a function of its seeds, bit for bit: whoever's page comes first changes nothing.

With nano-base, not only a tiny model: its products round differently when other requests stand in a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

from tests.clock import settled
from tests.marl import even, marl
from wideseek.assembly import open_team
from wideseek.budget import Budget
from wideseek.concurrency import Lockstep, together
from wideseek.errors import BadInput
from wideseek.journal import Journal
from wideseek.policy.local import LocalEngine
from wideseek.policy.token import TokenPolicy
from wideseek.records import Page, Rollout, Score
from wideseek.scoring.reward import Reward
from wideseek.tools.base import Hit, Source
from wideseek.train.checkpoint import checkpoints
from wideseek.train.groups import Group, make_group
from wideseek.train.loop import run_marl, team_config, trained_engine
from wideseek.train.model import model_folder
from wideseek.train.questions import Questions
from wideseek.train.settings import MarlConfig

T = TypeVar("T")
Said = list[tuple[str, list[int], list[float]]]


class Scrambled:
    """A source that answers one call at a time, in an order of its own, each when everything else has settled."""

    def __init__(self, source: Source, order: int) -> None:
        self._source, self._draw = source, random.Random(order)
        self._held: list[asyncio.Event] = []

    async def search(self, query: str, count: int) -> list[Hit]:
        return await self._in_turn(self._source.search(query, count))

    async def page(self, url: str) -> Page | None:
        return await self._in_turn(self._source.page(url))

    async def _in_turn(self, work: Coroutine[Any, Any, T]) -> T:
        event = asyncio.Event()
        self._held.append(event)
        await event.wait()
        return await work

    async def release(self) -> None:
        """Let them go, on and on."""
        while True:
            await settled(self._draw.randrange(1, 60))
            if self._held:
                self._held.pop(self._draw.randrange(len(self._held))).set()

    async def close(self) -> None: ...


def nano(start: Path, out: Path, **values: Any) -> MarlConfig:
    lead = {"max_turns": 3, "max_calls": 5, "context_tokens": 2048}
    sub = {"max_turns": 4, "max_calls": 5, "context_tokens": 1024}
    team = {"sampling": {"temperature": 1.0, "max_tokens": 48}, "lead": lead, "sub": sub, "local": {"threads": 1}}
    data = {"tasks": ["pocket-train"], "limit": 4}
    settings = {"model": "nano-base", "team": team, "data": data, "widths": [5], "group": 2, "optimizer": {"lr": 2e-4}}
    return marl(start, out, **{**settings, **values})


def said(groups: list[Group]) -> Said:
    """All that was sampled, in order, with its log-probabilities to the last bit."""
    runs = [run for group in groups for rollout in group.rollouts for run in rollout.trajectories]
    return [
        (run.path, t.completion.completion_ids or [], t.completion.logprobs or []) for run in runs for t in run.turns
    ]


async def rolled_out(config: MarlConfig, order: int, lockstep: Lockstep | None) -> Said:
    """Two questions, answered while the source scrambles."""
    questions = Questions(config)
    async with open_team(team_config(config, model_folder(config.model)), Journal(), Budget()) as team:
        source = Scrambled(team.source, order)
        team.source = source
        releasing = asyncio.ensure_future(source.release())
        branches = [lockstep.branch() if lockstep else contextlib.nullcontext() for _ in range(2)]
        made = (
            make_group(questions[number], team, config, rewarding=even, rolling_out=branch)
            for number, branch in enumerate(branches)
        )
        groups = await asyncio.gather(*made)
        releasing.cancel()
        assert sum(len(rollout.trajectories) for group in groups for rollout in group.rollouts) > 6
    return said(groups)


async def test_what_is_sampled_does_not_depend_on_the_order_in_which_the_tools_reply(tmp_path: Path) -> None:
    config = nano(tmp_path, tmp_path / "out")
    one, *others = [await rolled_out(config, order, Lockstep()) for order in range(3)]
    assert all(one == other for other in others)
    free = [await rolled_out(config, order, None) for order in range(3)]
    assert any(one != other for other in free), "this does scramble: without lockstep the last digits differ"


async def test_two_engines_in_one_lockstep_take_turns_and_are_exact_together(tmp_path: Path) -> None:
    """The role that is not trained has an engine of its own."""
    config = nano(tmp_path, tmp_path / "out", roles=["lead"])
    one, other = [await rolled_out(config, order, Lockstep()) for order in range(2)]
    assert one == other


def test_a_training_of_nano_base_is_the_same_bit_for_bit_when_it_is_resumed(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    evaluation = {"every": 1, "limit": 2, "sampled": False}
    config = nano(tmp_path, whole, steps=2, save_every=1, eval=evaluation)
    run_marl(config, quiet=True, evaluate=one_question, rewarding=even)

    def fails(rollout: Rollout, score: Score) -> Reward:
        if checkpoints(parts):
            raise BadInput("stop")
        return even(rollout, score)

    config = nano(tmp_path, parts, steps=2, save_every=1, eval=evaluation)
    with pytest.raises(BadInput, match="stop"):
        run_marl(config, quiet=True, evaluate=one_question, rewarding=fails)
    run_marl(config, quiet=True, resume=True, evaluate=one_question, rewarding=even)
    wanted, found = (torch.load(checkpoints(out)[-1] / "state.pt", weights_only=True) for out in (whole, parts))
    for one, other in zip(wanted["optimizers"], found["optimizers"], strict=True):
        assert all(torch.equal(one["state"][at]["exp_avg"], other["state"][at]["exp_avg"]) for at in one["state"])
    weights = [(out / "model" / "model.safetensors").read_bytes() for out in (whole, parts)]
    assert weights[0] == weights[1]


async def one_question(tasks: Any, team: Any, folder: Path) -> dict[str, float]:
    """An evaluation: it leaves what it computed in the engine."""
    await team.solve(tasks[0])
    return {"item_f1": 0.0}


# ----------------------------------------------------------------------------------------------------------- the count


async def test_engines_have_their_turn_when_every_branch_waits_and_the_lower_number_first() -> None:
    lockstep, woken = Lockstep(), list[int]()
    with lockstep.branch():
        assert not lockstep.turn(1)

        async def one(engine: int, ready: asyncio.Event) -> None:
            wait = lockstep.wait(engine, lambda: woken.append(engine))
            await ready.wait()
            wait.over()
            wait.over()

        events = [asyncio.Event(), asyncio.Event()]
        job = asyncio.ensure_future(together([one(1, events[0]), one(2, events[1])]))
        await settled()
        assert (lockstep.turn(1), lockstep.turn(2)) == (True, False)
        assert set(woken) == {1, 2}
        events[0].set()
        await settled()
        assert (lockstep.turn(1), lockstep.turn(2)) == (True, True), (
            "the first branch is joined to the second, which waits"
        )
        events[1].set()
        await job
        assert not lockstep.turn(1), "the branch goes on"
    assert lockstep.turn(1)


async def test_a_request_that_is_called_off_is_no_branch_that_waits(tmp_path: Path) -> None:
    config = nano(tmp_path, tmp_path / "out")
    async with open_team(team_config(config, model_folder(config.model)), Journal(), Budget()) as team:
        engine = trained_engine(team, config)
        assert isinstance(engine, LocalEngine)
        policy = team.policies["lead"]
        assert isinstance(policy, TokenPolicy)
        lockstep = Lockstep()
        with lockstep.branch():
            job = asyncio.ensure_future(team.solve(Questions(config)[0].task))
            await settled(5)
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
            assert not lockstep.turn(1 << 30)
        assert lockstep.turn(1 << 30)
