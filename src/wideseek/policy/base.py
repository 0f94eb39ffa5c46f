"""The policy seam: whatever can say the next turn of an agent.

A backend implements `complete` and nothing else. It gets the trajectory so far (the request is its messages, ending
with `trajectory.pending`) and the *schemas* of the tools, never the tools. It keeps its own concurrency limit,
because it owns the resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from wideseek.errors import PolicyRejected
from wideseek.records import Completion, Trajectory
from wideseek.redaction import redacted


class ToolSchema(msgspec.Struct, frozen=True):
    """What a model is told about a tool: its name, what it does, and the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, Any]


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a turn is sampled. `None` leaves the choice to the backend. `max_tokens` caps one turn."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None


class Prices(msgspec.Struct, frozen=True):
    """US dollars per million tokens. `cached` is for what the server has of the prompt already; `None`: no less."""

    prompt: float = 0.0
    completion: float = 0.0
    cached: float | None = None

    def usd(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """What a call costs; `cached_tokens` are among its `prompt_tokens`."""
        cached = min(cached_tokens, prompt_tokens) if self.cached is not None else 0
        prompt = self.prompt * (prompt_tokens - cached) + (self.cached or 0.0) * cached
        return (prompt + self.completion * completion_tokens) / 1e6


class Policy(Protocol):
    """Says the next turn of an agent.

    `name` is the model's name as users write it, `version` counts weight updates (0 for weights that never change),
    `sampling` is how it samples: together with the messages they are what a replay has to agree with. `label` is what
    every output has to say about where its words come from (empty for a language model).
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def sampling(self) -> Sampling: ...

    @property
    def label(self) -> str: ...

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        """The next turn of `trajectory`, without changing it: what JSON can carry (`sound`).

        Raises `PolicyRejected` for what no retry can mend, `PolicyUnavailable` when every retry failed.
        """
        ...

    async def close(self) -> None:
        """Free connections and memory. The policy is not used afterwards."""
        ...


class PolicyWrapper:
    """A policy around another: the base of what adds to `complete` and passes on everything else."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def name(self) -> str:
        return self._policy.name

    @property
    def version(self) -> int:
        return self._policy.version

    @property
    def sampling(self) -> Sampling:
        return self._policy.sampling

    @property
    def label(self) -> str:
        return self._policy.label

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        return await self._policy.complete(trajectory, tools)

    async def close(self) -> None:
        await self._policy.close()


def sound(completion: Completion, name: str) -> Completion:
    """The completion as a journal can keep it, without this run's secrets; half a character becomes `?`.

    Raises `PolicyRejected` for what JSON cannot carry at all.
    """
    try:
        try:
            said = _encode(completion)
        except UnicodeEncodeError:
            return msgspec.convert(_whole_characters(msgspec.to_builtins(completion)), Completion)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise PolicyRejected(f"{name}: said what JSON cannot carry: {error}: mend the policy") from error
    clean = redacted(said)  # a secret that came in escapes, or in the pieces of a stream
    return completion if clean == said else msgspec.json.decode(clean, type=Completion)


_encode = msgspec.json.Encoder().encode


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_whole_characters(name): _whole_characters(one) for name, one in value.items()}
    return [_whole_characters(one) for one in value] if isinstance(value, list) else value
