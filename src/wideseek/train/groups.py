"""Groups of rollouts with all that is learnt from them: scores, rewards, marks, advantages; and what they tell the log.

question  ->  team.rollout_group  ->  score  ->  reward  ->  credit (marks)  ->  advantage  ->  Group
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import msgspec

from wideseek.concurrency import together
from wideseek.records import Rollout, Score
from wideseek.roles import SINGLE, SUB, Profile
from wideseek.scoring.judge import Judge
from wideseek.scoring.reward import Reward, RewardConfig, finite, opened_any, rollout_reward, turn_tokens
from wideseek.scoring.table import score_response, score_rollout
from wideseek.team import Team, rollout_group
from wideseek.train.advantage import group_advantages
from wideseek.train.credit import last_words, mark
from wideseek.train.questions import Question
from wideseek.train.settings import MarlConfig


@dataclass(frozen=True)
class Group:
    """The rollouts of one question, and one score, reward and advantage for each."""

    question: Question
    rollouts: list[Rollout]
    scores: list[Score]
    rewards: list[Reward]
    advantages: list[float | None]

    @property
    def teaches(self) -> bool:
        return any(self.advantages)


Rewarding = Callable[[Rollout, Score], Reward]
"""A reward of one's own, from a rollout and its score."""


async def make_group(
    question: Question,
    team: Team,
    config: MarlConfig,
    judge: Judge | None = None,
    rewarding: Rewarding | None = None,
    rolling_out: AbstractContextManager[object] | None = None,
) -> Group:
    """Ask `team` the question `config.group` times at its width, and say what is to be learnt from it.

    The rollouts are made within `rolling_out`, such as a branch of a `Lockstep`.
    """
    team = at_width(team, question.width, question.seed)
    with rolling_out or nullcontext():
        rollouts = await rollout_group(team, question.task, config.group, config.team.workflow)
    scores = await together(score_rollout(rollout, mode=config.score, judge=judge) for rollout in rollouts)
    rewarding = rewarding or partial(rollout_reward, config=reward_config(config, team.profile))
    rewards = [finite(rewarding(rollout, score)) for rollout, score in zip(rollouts, scores, strict=True)]
    formed = await together(_well_formed(rollout, score) for rollout, score in zip(rollouts, scores, strict=True))
    for rollout, score, well_formed in zip(rollouts, scores, formed, strict=True):
        if score.value is not None:
            mark(rollout, config.credit, well_formed=well_formed, roles=config.trained)
    advantages = group_advantages([reward.value for reward in rewards], config.advantage)
    return Group(question, rollouts, scores, rewards, advantages)


def at_width(team: Team, width: int, seed: int) -> Team:
    """The same team with so many subagents a turn at most, and other draws."""
    other = copy.copy(team)
    other.seed = seed
    other.roles = {**team.roles, "lead": msgspec.structs.replace(team.roles["lead"], max_calls=width)}
    return other


def reward_config(config: MarlConfig, profile: Profile) -> RewardConfig:
    """The weights of the reward, with the name that `profile` gives the tool which opens pages."""
    return RewardConfig(**config.reward.model_dump(), access_tool=access_tool(profile, config.team.workflow))


def access_tool(profile: Profile, workflow: str) -> str:
    """What the profile calls the tool that opens pages."""
    faces = profile.faces(SUB if workflow == "team" else SINGLE)
    return next((name for name, face in faces.items() if face.tool == "access"), "access")


async def _well_formed(rollout: Rollout, score: Score) -> bool:
    """Whether the lead's last words hold an answer; where it failed they are no answer, and their form is asked for."""
    if rollout.lead.stop == "answer":
        return score.format_ok
    return (await score_response(last_words(rollout), rollout.task)).format_ok


# ------------------------------------------------------------------------------------------------------- for the log


def group_figures(groups: Sequence[Group], access: str = "access") -> dict[str, float]:
    """What a step's rollouts were like: means over scored rollouts, lengths over agents, counts of the rest."""
    rows = [row for group in groups for row in zip(group.rollouts, group.scores, group.rewards, strict=True)]
    scored = [row for row in rows if row[2].value is not None]
    figures = {
        "reward": _mean(reward.value or 0.0 for _, _, reward in scored),
        **_parts([reward for _, _, reward in scored]),
        "item_f1": _mean(score.value or 0.0 for r, score, _ in scored if r.task.kind == "wide"),
        "short_answers": _mean(score.value or 0.0 for r, score, _ in scored if r.task.kind == "deep"),
        "success": _mean(score.parts.get("score", score.value or 0.0) for _, score, _ in scored),
        "format_ok": _mean(float(score.format_ok) for _, score, _ in scored),
        "access_used": _mean(float(opened_any(rollout, access)) for rollout, _, _ in scored),
        "tool_calls": _mean(float(len(_calls(rollout))) for rollout, _, _ in scored),
        "malformed_calls": _mean(float(sum(map(bool, _calls(rollout)))) for rollout, _, _ in scored),
        "answered": _mean(float(rollout.lead.stop == "answer") for rollout, _, _ in scored),
        "subagents": _mean(len(rollout.trajectories) - 1 for rollout, _, _ in scored),
        "turns": _mean(sum(len(run.turns) for run in rollout.trajectories) for rollout, _, _ in scored),
        **_lengths([rollout for rollout, _, _ in scored]),
        "dead_groups": float(sum(not group.teaches for group in groups)),
        "unscored": float(len(rows) - len(scored)),
        "prefilled_tokens": float(prefilled_tokens(groups)),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _calls(rollout: Rollout) -> list[str | None]:
    """What is wrong with each tool call of all agents, `None` where nothing is."""
    turns = [turn for run in rollout.trajectories for turn in run.turns]
    return [call.malformed for turn in turns for call in turn.completion.tool_calls]


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


def _parts(rewards: Sequence[Reward]) -> dict[str, float | None]:
    """The parts of the reward, each as its mean over all rollouts; they sum to the mean reward."""
    names = sorted({name for reward in rewards for name in reward.parts})
    return {f"reward_{name}": _mean(reward.parts.get(name, 0.0) for reward in rewards) for name in names}


def _lengths(rollouts: Sequence[Rollout]) -> dict[str, float | None]:
    """Sampled tokens and turns of an agent, by role."""
    tokens: dict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        for run in rollout.trajectories:
            tokens[f"tokens_{run.role}"].append(sum(turn_tokens(turn.completion) for turn in run.turns))
            tokens[f"turns_{run.role}"].append(len(run.turns))
    return {name: _mean(values) for name, values in sorted(tokens.items())}


def sampled_tokens(groups: Sequence[Group]) -> int:
    """Tokens that all agents of the groups have sampled."""
    return sum(
        turn_tokens(turn.completion)
        for group in groups
        for rollout in group.rollouts
        for run in rollout.trajectories
        for turn in run.turns
    )


def prefilled_tokens(groups: Sequence[Group]) -> int:
    """Tokens that the agents of the groups were given. What begins alike counts once: its keys and values are kept."""
    after: dict[tuple[int, int], int] = {}  # (a beginning, the next token) -> the longer beginning, by number
    prefilled = 0
    for run in (run for group in groups for rollout in group.rollouts for run in rollout.trajectories):
        said = (turn.completion for turn in run.turns)
        parts = [part for one in said for part in ((one.prompt_ids, 1), (one.completion_ids, 0))]
        beginning = 0
        for token, counts in ((token, counts) for ids, counts in parts for token in ids or ()):
            if (beginning, token) not in after:
                after[beginning, token] = len(after) + 1
                prefilled += counts
            beginning = after[beginning, token]
    return prefilled


def staleness(groups: Sequence[Group], step: int) -> int:
    """By how many updates the oldest trained token is behind the weights that learn from it, those after `step`."""
    versions = [
        turn.completion.version
        for group in groups
        for rollout, reward in zip(group.rollouts, group.rewards, strict=True)
        if reward.value is not None
        for run in rollout.trajectories
        for turn in run.turns
        if turn.trainable
    ]
    return step - min(versions, default=step)
