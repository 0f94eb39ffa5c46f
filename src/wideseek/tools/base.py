"""The tool seam, and the seam below it: where pages come from.

    Tool      what an agent can do: `search`, `access`, `call_subagent`; arguments in, text out
    Source    what can be searched and read: a corpus on disk, the web; hits and pages out

A tool keeps no state about agents: all it may know of its caller is the `Place` of the call.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from wideseek.records import Page, Trajectory, Usage


class Place(msgspec.Struct, frozen=True):
    """Where a call stands in the agent tree: whose it is, in which turn, the how-manieth of that turn (from 0)."""

    agent: Trajectory
    turn: int
    index: int


class ToolResult(msgspec.Struct, omit_defaults=True):
    """What a tool gives back: text for the agent; the raw pages it read, for the evidence; what it spent on models."""

    text: str
    pages: list[Page] = []
    usage: Usage = msgspec.field(default_factory=Usage)
    error: bool = False


class Tool(Protocol):
    """`name` is the tool's own name; the name and schema that a model sees are the prompt profile's.

    `replayable` is whether its result may be taken from the journal (delegation is not: its agents' calls are).
    """

    name: str
    replayable: bool

    async def call(self, arguments: dict[str, Any], place: Place) -> ToolResult:
        """Do it. Raises `ToolError` with a text for the agent."""
        ...


class Hit(msgspec.Struct, frozen=True):
    """One search result."""

    title: str
    url: str
    snippet: str


class Source(Protocol):
    """Somewhere to search and read."""

    async def search(self, query: str, count: int) -> list[Hit]:
        """The best `count` hits, best first; fewer where there are fewer. Raises `ToolError`."""
        ...

    async def page(self, url: str) -> Page | None:
        """The page at `url`, or `None` where there is none. Raises `ToolError`."""
        ...

    async def close(self) -> None:
        """Free files and connections."""
        ...
