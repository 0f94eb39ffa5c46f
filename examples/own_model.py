"""A policy of your own: anything that says an agent's next turn.

This one is a function without any model: its lead sends out one subagent per city, and each subagent searches, opens
the first hit and reports one line. Put your own inference in place of `lead` and `sub`.

python examples/own_model.py
"""

import asyncio
import re

from wideseek import Task, Team, Trajectory
from wideseek.assembly import open_source
from wideseek.policy.scripted import Scripted, Words
from wideseek.records import Message, ToolCall

CITIES = ("Maseru", "Maputsoe", "Mafeteng")


def told(run: Trajectory) -> str:
    """What the tools have said last."""
    return "\n".join(message.text for message in run.pending if isinstance(message, Message))


def lead(run: Trajectory, tools: object) -> Words:
    if not run.turns:
        return [ToolCall("1", "call_subagent", {"subtasks": [f"population of {city}" for city in CITIES]})]
    rows = re.findall(r"^\| .* \|$", told(run), re.MULTILINE)
    return "```markdown\n| city | population |\n|---|---|\n" + "\n".join(rows) + "\n```"


def sub(run: Trajectory, tools: object) -> Words:
    city = run.prompt.removeprefix("population of ")
    if not run.turns:
        return [ToolCall("1", "search", {"query": city, "count": 1})]
    if len(run.turns) == 1:
        return [ToolCall("2", "access", {"url": re.findall(r"https://\S+", told(run))[0]})]
    population = re.search(r"population: (\S+)", told(run))
    return f"| {city} | {population[1] if population else ''} |"


async def main() -> None:
    source = open_source(None)  # the pocket world; any object with search, page and close will do
    team = Team({"lead": Scripted(lead, name="my lead"), "sub": Scripted(sub, name="my sub")}, source)
    rollout = await team.solve(Task(question="How many people live in the cities of Lesotho?"))
    print(rollout.answer)
    print([run.path for run in rollout.trajectories], sorted(rollout.pages))
    await source.close()


asyncio.run(main())
