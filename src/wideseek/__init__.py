"""WideSeek: a broad question becomes one audited table.

    import wideseek

    result = wideseek.ask("Which ... are there? Give ... and ... for each.", model="openai/NAME")
    result.table.to_markdown(); result.evidence; result.rollout

Public names are loaded when they are first used: `import wideseek` itself is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wideseek.api import Result as Result
    from wideseek.api import ask as ask
    from wideseek.api import ask_async as ask_async
    from wideseek.config import Config as Config
    from wideseek.errors import BadInput as BadInput
    from wideseek.errors import PolicyError as PolicyError
    from wideseek.errors import WideseekError as WideseekError
    from wideseek.records import Page as Page
    from wideseek.records import Rollout as Rollout
    from wideseek.records import Task as Task
    from wideseek.records import Trajectory as Trajectory
    from wideseek.roles import Profile as Profile
    from wideseek.table import Table as Table
    from wideseek.team import Team as Team
    from wideseek.tools.corpus import Corpus as Corpus

_HOMES = {
    "Result": "api",
    "ask": "api",
    "ask_async": "api",
    "Config": "config",
    "BadInput": "errors",
    "PolicyError": "errors",
    "WideseekError": "errors",
    "Page": "records",
    "Rollout": "records",
    "Task": "records",
    "Trajectory": "records",
    "Profile": "roles",
    "Table": "table",
    "Team": "team",
    "Corpus": "tools.corpus",
}
__all__ = sorted(_HOMES)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wideseek' has no attribute {name!r}")
    return getattr(import_module(f"wideseek.{_HOMES[name]}"), name)
