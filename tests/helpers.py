"""Seams for tests: a source in memory, policies that are functions, and short ways to build a team."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from wideseek.policy.base import Sampling, ToolSchema
from wideseek.records import Completion, Message, Page, ToolCall, Trajectory, Usage
from wideseek.team import Team
from wideseek.tools.base import Hit

LIGHTHOUSES = {"Bovbjerg": ("26 m", "1877"), "Hanstholm": ("23 m", "1843"), "Dueodde": ("47 m", "1962")}
QUESTION = "Which lighthouses of Denmark are there? Give height and year for each."
HOST = "https://pocket.example"


def lighthouse_pages() -> list[Page]:
    members = "\n".join(f"#{i} {name}" for i, name in enumerate(LIGHTHOUSES, 1))
    pages = [Page(f"{HOST}/lighthouses-of-denmark", "Lighthouses of Denmark", f"As collected here.\n{members}")]
    for name, (height, year) in LIGHTHOUSES.items():
        text = f"{name} is one of the lighthouses of Denmark.\nheight: {height}\nyear: {year}"
        pages.append(Page(f"{HOST}/{name.lower()}", name, text))
    return pages


class MemorySource:
    """Finds the pages that share the most words with the query; counts its calls."""

    def __init__(self, pages: Sequence[Page] | None = None) -> None:
        self.pages = {page.url: page for page in (lighthouse_pages() if pages is None else pages)}
        self.calls: list[str] = []

    async def search(self, query: str, count: int) -> list[Hit]:
        self.calls.append(f"search {query}")
        words = set(query.lower().split())
        ranked = sorted(self.pages.values(), key=lambda page: -len(words & set(page.title.lower().split())))
        return [Hit(page.title, page.url, page.text[:80]) for page in ranked[:count]]

    async def page(self, url: str) -> Page | None:
        self.calls.append(f"page {url}")
        return self.pages.get(url)

    async def close(self) -> None:
        return None


class Model:
    """A policy made of a function of the trajectory: its answer as text, or calls as (tool, arguments) pairs."""

    version = 0
    label = ""
    sampling = Sampling()

    def __init__(
        self, say: Callable[[Trajectory], Any], tokens: int = 0, seconds: float = 0.0, name: str = "model"
    ) -> None:
        self._say, self._tokens, self._seconds, self.name = say, tokens, seconds, name
        self.calls = 0

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        self.calls += 1
        await asyncio.sleep(self._seconds)
        said = self._say(trajectory)
        if isinstance(said, Completion):
            return said
        usage = Usage(1, self._tokens, 0)
        if isinstance(said, str):
            return Completion(text=said, usage=usage)
        return Completion(tool_calls=[call(*pair, index=i) for i, pair in enumerate(said)], usage=usage)

    async def close(self) -> None:
        return None


def call(name: str, arguments: dict[str, Any], index: int = 0, malformed: str | None = None) -> ToolCall:
    return ToolCall(f"call_{index}", name, arguments, malformed)


def script(*turns: Any) -> Callable[[Trajectory], Any]:
    """What an agent says in its first turn, its second ...; the last is repeated."""
    return lambda run: turns[min(len(run.turns), len(turns) - 1)]


def delegate(*subtasks: str) -> list[tuple[str, dict[str, Any]]]:
    return [("call_subagent", {"subtasks": list(subtasks)})]


def replies(run: Trajectory) -> list[str]:
    return [m.text for m in run.messages() if isinstance(m, Message) and m.role == "tool"]


def table(*rows: str) -> str:
    return "```markdown\n| name | height |\n|---|---|\n" + "\n".join(rows) + "\n```"


def team(lead: Any, sub: Any = "done", source: Any = None, **options: Any) -> Team:
    """A team of functions: `lead` and `sub` are what `Model` takes, or policies."""
    policies = {"lead": _policy(lead), "single": _policy(lead), "sub": _policy(sub)}
    return Team(policies, source or MemorySource(), **options)


def _policy(said: Any) -> Any:
    if hasattr(said, "complete"):
        return said
    return Model(said if callable(said) else script(said))
