"""Demonstrations: the expert at work in the real loop, on lists of train only.

    the pocket world's train tasks               rollouts/real.jsonl.gz
    worlds spliced from its train lists          rollouts/spliced-*.jsonl.gz
    a share of both, done by one agent alone     rollouts/single.jsonl.gz
    a share of both, by leads of less width      rollouts/narrow.jsonl.gz
    questions that name the table's columns      rollouts/contract.jsonl.gz
    tests and extremes, of spliced worlds        rollouts/tests-*.jsonl.gz
    both once more, by a teacher with bad habits  rollouts/weak-*.jsonl.gz
    dev tasks, which are only measured on        rollouts/held-out.jsonl.gz

Every rollout is what `Team.solve` returns: prompts, calls, replies and limits are those of a user's question.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from wideseek.assembly import open_source
from wideseek.assets import world_tasks
from wideseek.concurrency import together
from wideseek.policy.base import Policy
from wideseek.policy.scripted import TEACHING, WEAK, Expert
from wideseek.records import Rollout, Task, write_jsonl
from wideseek.roles import Profile, Role
from wideseek.synth.questions import tasks_of
from wideseek.synth.spliced import spliced_lists
from wideseek.synth.world import WorldList, pages_of
from wideseek.team import Team, Workflow
from wideseek.tools.base import Source
from wideseek.tools.cache import Cached
from wideseek.tools.corpus import Corpus

AT_ONCE = 32  # rollouts
NARROW = (1, 2, 3, 5)
TESTED = 3  # worlds
CONTRACTED = ("Which {phrase} are there?", "List all {phrase}.", "{question}", "Give me the {phrase}.")


async def demonstrate(
    tasks: Sequence[Task],
    source: Source,
    policy: Policy,
    roles: dict[str, Role],
    workflow: Workflow = "team",
    seed: int = 0,
) -> list[Rollout]:
    """One rollout per task, without the pages that were read."""
    team = Team({"lead": policy}, source, profile=Profile.load("nano"), roles=roles, seed=seed)
    rollouts: list[Rollout] = []
    for at in range(0, len(tasks), AT_ONCE):
        rollouts += await together(team.solve(task, workflow=workflow) for task in tasks[at : at + AT_ONCE])
    for rollout in rollouts:
        rollout.pages = {}
    return rollouts


async def spliced_demos(
    real: Sequence[WorldList],
    lists: int,
    seed: int,
    policy: Policy,
    roles: dict[str, Role],
    workflow: Workflow = "team",
    choose: Callable[[Sequence[WorldList]], list[Task]] | None = None,
) -> list[Rollout]:
    """Rollouts on the tasks of a spliced world of so many lists, all of them or those that `choose` gives."""
    made = spliced_lists(real, lists, seed)
    tasks = choose(made) if choose else tasks_of(made, seed)
    with tempfile.TemporaryDirectory() as folder:
        Corpus.build(pages_of(made), Path(folder))
        source = Cached(Corpus.open(Path(folder)))
        try:
            return await demonstrate(tasks, source, policy, roles, workflow, seed)
        finally:
            await source.close()


async def narrow_demos(
    tasks: Sequence[Task],
    source: Source,
    real: Sequence[WorldList],
    lists: int,
    seed: int,
    policy: Policy,
    roles: dict[str, Role],
) -> list[Rollout]:
    """Rollouts of leads that may start few subagents in one turn, so that they have to go on or come to an end."""
    rollouts: list[Rollout] = []
    for at, width in enumerate(NARROW):
        narrow = {**roles, "lead": msgspec.structs.replace(roles["lead"], max_calls=width)}
        rollouts += await demonstrate(tasks[at :: 2 * len(NARROW)], source, policy, narrow)
        rollouts += await spliced_demos(real, lists, seed + width, policy, narrow)
    return rollouts


async def test_demos(
    real: Sequence[WorldList], lists: int, seed: int, policy: Policy, roles: dict[str, Role]
) -> list[Rollout]:
    """Rollouts in which numbers have to be compared: what a small model learns last, and real lists ask little of."""

    def choose(made: Sequence[WorldList]) -> list[Task]:
        return [task for asking in range(4) for task in tasks_of(made, asking) if _compares(task)]

    return await spliced_demos(real, lists, seed, policy, roles, choose=choose)


def _compares(task: Task) -> bool:
    test = task.meta.get("filter")
    return bool(task.meta.get("extreme") or (test and test["op"] != "is"))


def contract_tasks(tasks: Sequence[Task], profile: Profile) -> list[Task]:
    """Wide tasks asked as `wideseek ask --columns` asks: the question, and below it the columns of the table."""
    asked = []
    for number, task in enumerate(task for task in tasks if task.kind == "wide" and not task.meta["filter"]):
        plain = CONTRACTED[number % len(CONTRACTED)].format(phrase=task.meta["phrase"], question=task.question)
        columns = profile.notice("contract", "en", columns=", ".join(task.required), key="name")
        asked.append(msgspec.structs.replace(task, question=f"{plain}\n\n{columns}"))
    return asked


def write_demos(
    out: Path,
    real: Sequence[WorldList],
    roles: dict[str, Role],
    *,
    worlds: int,
    lists: int,
    seed: int,
    tasks: int | None = None,
) -> None:
    """Write all demonstrations into `out`; a file that is there is not made again.

    `worlds` of so many `lists` are spliced; of the pocket world's train tasks and dev tasks the first `tasks` are done
    (unset: all).
    """
    out.mkdir(parents=True, exist_ok=True)
    policy, weak = Expert(TEACHING), Expert(WEAK)

    def missing(name: str) -> bool:
        return not (out / f"{name}.jsonl.gz").exists()

    def keep(name: str, rollouts: Sequence[Rollout]) -> None:
        part = out / f"{name}.part.gz"
        write_jsonl(part, rollouts)
        part.rename(out / f"{name}.jsonl.gz")
        print(f"{name}: {len(rollouts):,} rollouts", flush=True)

    async def all_of_them() -> None:
        pocket = open_source(None)
        train, dev = (list(world_tasks(split))[:tasks] for split in ("train", "dev"))
        try:
            if missing("real"):
                keep("real", await demonstrate(train, pocket, policy, roles))
            if missing("held-out"):
                keep("held-out", await demonstrate(dev[::3], pocket, policy, roles))
            if missing("single"):
                alone = await demonstrate(train[::3], pocket, policy, roles, "single")
                keep("single", alone + await spliced_demos(real, lists // 2, seed + 1000, policy, roles, "single"))
            if missing("narrow"):
                keep("narrow", await narrow_demos(train, pocket, real, lists // 4, seed + 3000, policy, roles))
            if missing("contract"):
                asked = contract_tasks(train, Profile.load("nano"))
                keep("contract", await demonstrate(asked, pocket, policy, roles))
            for world in range(TESTED):
                if missing(f"tests-{world}"):
                    keep(f"tests-{world}", await test_demos(real, lists, seed + 4000 + world, policy, roles))
            if missing("weak-real"):
                keep("weak-real", await demonstrate(train, pocket, weak, roles))
        finally:
            await pocket.close()
        if missing("weak-spliced"):
            keep("weak-spliced", await spliced_demos(real, lists, seed + 2000, weak, roles))
        for world in range(worlds):
            if missing(f"spliced-{world}"):
                keep(f"spliced-{world}", await spliced_demos(real, lists, seed + world, policy, roles))

    asyncio.run(all_of_them())
