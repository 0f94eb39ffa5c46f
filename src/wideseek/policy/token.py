"""Token policies: token ids in, token ids out, so that what is trained is what was sampled.

    trajectory  ->  its ids, turn by turn as they were sampled, and the delta of what is pending (`template`)
                ->  a `Sampler` continues them  ->  ids, logprobs, versions  ->  Completion

A `Sampler` is an engine: in this process (`policy.local`) or a server (`policy.remote`). It sees ids only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from wideseek.errors import PolicyRejected
from wideseek.policy.base import Prices, Sampling, ToolSchema
from wideseek.policy.failures import ContextFull
from wideseek.policy.template import ChatTemplate
from wideseek.records import Completion, Trajectory, Usage

Limit = Literal["turn_cap", "context"]


class Request(msgspec.Struct, frozen=True):
    """Continue `ids` by at most `max_new` tokens, until one of `stop_ids` is sampled (it is part of the result).

    `temperature=0` is greedy. Equal requests with equal weights and seeds give equal draws, whatever else runs, and
    equal tokens up to rounding: batches of another shape round otherwise, unless the engine runs in lockstep.
    """

    ids: list[int]
    max_new: int
    stop_ids: tuple[int, ...] = ()
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0


class Sampled(msgspec.Struct):
    """What was sampled: `ids`, one natural-log probability per id at the sampling temperature, and the version of the
    weights that sampled each. `ended` is whether a stop token came (it is the last id); else `max_new` was reached, or
    with fewer ids the end of the engine's context."""

    ids: list[int]
    logprobs: list[float]
    versions: list[int]
    ended: bool


class Sampler(Protocol):
    """An engine that continues token ids.

    `name` is the model's as users write it, `version` counts its weight updates, `context_tokens` is the longest
    sequence that it takes (prompt and continuation), `more_context` what the user can do about that ("raise ...").
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def context_tokens(self) -> int: ...

    @property
    def more_context(self) -> str: ...

    async def sample(self, request: Request) -> Sampled:
        """Raises `PolicyRejected` for what no retry can mend, `PolicyUnavailable` when every retry failed, and
        `ContextFull` where the ids turn out to leave no room (a server may not say beforehand what it takes)."""
        ...

    async def close(self) -> None: ...


class TokenPolicy:
    """The turns of agents, sampled as token ids.

    `sampling` is temperature 1 and top-p 1 where it says nothing, the distribution that training corrects. `label` is
    what outputs have to say about the model, if anything; `prices` what its tokens cost.
    """

    def __init__(
        self,
        sampler: Sampler,
        template: ChatTemplate,
        sampling: Sampling | None = None,
        label: str = "",
        prices: Prices | None = None,
    ) -> None:
        self.sampler, self.template = sampler, template
        self.sampling = sampling or Sampling()
        self.label = label
        self._prices = prices or Prices()

    @property
    def name(self) -> str:
        return self.sampler.name

    @property
    def version(self) -> int:
        return self.sampler.version

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        """The next turn. Raises `PolicyRejected` for a prompt that does not fit into the context at all."""
        turn = len(trajectory.turns)
        delta = self.template.delta(trajectory, turn, tools)
        ids = [*sequence(trajectory, self.template, tools), *delta]
        context = min(trajectory.context_tokens, self.sampler.context_tokens)
        room = context - len(ids)
        if room <= 0:
            return self._full(trajectory, len(ids), delta, context)
        request, limit = self._request(ids, room, (trajectory.seed + turn) & 0x7FFFFFFF)
        try:
            sampled = await self.sampler.sample(request)
        except ContextFull:
            return self._full(trajectory, len(ids), delta, self.sampler.context_tokens)
        if len(sampled.ids) < request.max_new:
            limit = "context"
        return self._completion(delta, len(ids), sampled, turn, limit, tools)

    async def close(self) -> None:
        await self.sampler.close()

    def _request(self, ids: list[int], room: int, seed: int) -> tuple[Request, Limit]:
        """What the sampler is asked for, and which limit is reached if it gives all of it."""
        cap, temperature, top_p = self.sampling.max_tokens, self.sampling.temperature, self.sampling.top_p
        limit: Limit = "turn_cap" if cap is not None and cap <= room else "context"
        request = Request(
            ids,
            room if cap is None else min(cap, room),
            self.template.stop_ids,
            1.0 if temperature is None else temperature,
            1.0 if top_p is None else top_p,
            seed,
        )
        return request, limit

    def _full(self, trajectory: Trajectory, length: int, delta: list[int], context: int) -> Completion:
        """A turn for which there is no room: an ending. Where that is nobody's fault but the user's, it is refused.

        A lead that hands out a subtask of too many words has made a mistake; a question that leaves no room, or limits
        under which no subtask has any, are no agent's doing.
        """
        frame = length - self.template.count(trajectory.prompt)
        too_long = trajectory.parent is not None and frame < context <= length
        if not trajectory.turns and not too_long:
            ours = context == trajectory.context_tokens
            more = f"raise {trajectory.role}.context_tokens above {context:,}" if ours else self.sampler.more_context
            raise PolicyRejected(
                f"{self.name}: the prompt has {length:,} tokens, which leaves no room to answer: shorten the question, "
                f"or {more}"
            )
        return Completion(
            truncated="context",
            model=self.name,
            version=self.version,
            prompt_ids=delta,
            completion_ids=[],
            logprobs=[],
        )

    def _completion(
        self,
        delta: list[int],
        prompt: int,
        sampled: Sampled,
        turn: int,
        limit: Limit,
        tools: Sequence[ToolSchema],
    ) -> Completion:
        reasoning, text, calls = self.template.read(sampled.ids, turn, tools)
        mixed = len(set(sampled.versions)) > 1
        return Completion(
            text=text,
            reasoning=reasoning,
            tool_calls=calls,
            truncated=None if sampled.ended else limit,
            usage=Usage(1, prompt, len(sampled.ids), self._prices.usd(prompt, len(sampled.ids))),
            model=self.name,
            version=min(sampled.versions, default=self.version),
            prompt_ids=delta,
            completion_ids=sampled.ids,
            logprobs=sampled.logprobs,
            versions=sampled.versions if mixed else None,
        )


def sequence(trajectory: Trajectory, template: ChatTemplate, tools: Sequence[ToolSchema]) -> list[int]:
    """All ids of a trajectory's turns, in order: what was appended and what was said."""
    ids: list[int] = []
    for number, turn in enumerate(trajectory.turns):
        ids += template.delta(trajectory, number, tools)
        ids += template.sampled(turn.completion)
    return ids
