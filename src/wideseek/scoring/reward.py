"""A rollout's reward in named parts, as the paper's training code has it.

    reward = answer + 0.1 format + 0.05 if any page was opened - 0.1 clip((longest turn - 3000) / 2000, 0, 1)
    reward = 0      for a bad format, or a lead that did not end by answering (turns, context, turn cap, budget)
    reward = None   for what is unscored: the judge or the infrastructure failed, which is not the agents' fault;
                    and for a value that is no number or infinite, which would spoil every advantage of its group

`answer` is `Score.value`: item F1 of a table, 0 or 1 for a short answer. It is the strict score unless the caller hands
in a score of mode `rlinf`, which can exceed 1. Turns count in tokens: `completion_ids` where they are known, else
what the server counted.
"""

from __future__ import annotations

import math

import msgspec

from wideseek.records import Completion, Rollout, Score


class RewardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The weights. The length penalty grows from 0 at `length_free` tokens to `length` at `length_full`."""

    format: float = 0.1
    access: float = 0.05
    length: float = 0.1
    length_free: int = 3_000
    length_full: int = 5_000
    access_tool: str = "access"


class Reward(msgspec.Struct, frozen=True):
    """`value` is the sum of `parts`, or `None`; `why` says what made it 0 or `None`."""

    value: float | None
    parts: dict[str, float] = {}
    why: str | None = None


def rollout_reward(rollout: Rollout, score: Score, config: RewardConfig | None = None) -> Reward:
    """The reward of the whole rollout, shared by all its agents."""
    config = config or RewardConfig()
    if rollout.error is not None or score.value is None:
        return Reward(None, why=rollout.error or score.unscored)
    if rollout.lead.stop != "answer":
        return Reward(0.0, why=f"the lead ended by {rollout.lead.stop}")
    if not score.format_ok:
        return Reward(0.0, why=score.note or "bad format")
    parts = {
        "answer": score.value,
        "format": config.format,
        "access": config.access * opened_any(rollout, config.access_tool),
        "length": -config.length * excess(longest_turn(rollout), config.length_free, config.length_full),
    }
    return finite(Reward(sum(parts.values()), parts))


def finite(reward: Reward) -> Reward:
    """The reward, or an unscored one where its value is NaN or infinite."""
    if reward.value is None or math.isfinite(reward.value):
        return reward
    return Reward(None, why=f"the reward is {reward.value}")


def opened_any(rollout: Rollout, tool: str) -> bool:
    """Whether any agent called `tool` in a form that could be read."""
    return any(
        call.name == tool and call.malformed is None
        for run in rollout.trajectories
        for turn in run.turns
        for call in turn.completion.tool_calls
    )


def longest_turn(rollout: Rollout) -> int:
    """The tokens of the longest turn of any agent."""
    return max((turn_tokens(turn.completion) for run in rollout.trajectories for turn in run.turns), default=0)


def turn_tokens(completion: Completion) -> int:
    ids = completion.completion_ids
    return completion.usage.completion_tokens if ids is None else len(ids)


def excess(tokens: int, free: int, full: int) -> float:
    """0 up to `free` tokens, 1 from `full` on, linear in between."""
    return min(max((tokens - free) / (full - free), 0.0), 1.0)
