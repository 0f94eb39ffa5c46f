"""Credit: which turns of a rollout are trained, as marks on its turns. Nothing is deleted: logs and reports see all.

    all        every turn of every agent (arXiv 2602.04634, section 3: one advantage for all agents, turns and tokens)
    official   what the paper's released code trains on:

    the lead ended well, its answer is well formed     all turns of the agents that ended well; those of failed ones not
    the lead ended well, its answer is malformed       the lead's last turn, and the failed turns
    the lead failed, its last words are well formed    the lead's turns
    the lead failed, its last words are malformed      the failed turns

An agent *failed* that did not end by answering: out of turns, context, turn cap or budget. The *failed turns* are those
of all failed agents; but where an agent ran out of room in a turn of `REPETITION` tokens or more, which is repetition,
such turns alone.

Source: `run_one_query` in `rlinf/agents/wideseek_r1/wideseek_r1.py` of RLinf ("credit assignment").
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from wideseek.records import Rollout, Trajectory, Turn
from wideseek.scoring.reward import turn_tokens

Credit = Literal["official", "all"]
REPETITION = 8_000
"""Tokens of one turn from which running out of room counts as repetition."""


def mark(rollout: Rollout, credit: Credit, *, well_formed: bool, roles: Collection[str]) -> None:
    """Set `trainable` on every turn of `rollout`. Agents whose role is not in `roles` are not trained at all.

    `well_formed` says whether the lead's last words hold an answer in the form asked for.
    """
    chosen = _turns(rollout.trajectories) if credit == "all" else _official(rollout, well_formed)
    trained = set(map(id, chosen))
    for run in rollout.trajectories:
        for turn in run.turns:
            turn.trainable = id(turn) in trained and run.role in roles


def last_words(rollout: Rollout) -> str:
    """What the lead said last, whether that was an answer or not: where it failed, its form decides what is trained."""
    said = [turn.completion.text for turn in rollout.lead.turns]
    return next((text for text in reversed(said) if text), "")


def _official(rollout: Rollout, well_formed: bool) -> list[Turn]:
    lead = rollout.lead
    if well_formed and failed(lead):
        return lead.turns
    if well_formed:
        return _turns([run for run in rollout.trajectories if not failed(run)])
    final = [] if failed(lead) else lead.turns[-1:]
    return [*final, *_failed_turns(rollout)]


def _failed_turns(rollout: Rollout) -> list[Turn]:
    runs = [run for run in rollout.trajectories if failed(run)]
    repeated = [run.turns[-1] for run in runs if _repeated(run)]
    return repeated or _turns(runs)


def failed(run: Trajectory) -> bool:
    """Whether the agent ended by anything but an answer."""
    return run.stop != "answer"


def _repeated(run: Trajectory) -> bool:
    return bool(
        run.stop in ("context", "turn_cap") and run.turns and turn_tokens(run.turns[-1].completion) >= REPETITION
    )


def _turns(runs: list[Trajectory]) -> list[Turn]:
    return [turn for run in runs for turn in run.turns]
