"""From rollouts to samples: one token sequence per agent, and which of its tokens a policy would sample.

    Rollout  ->  Trajectory  ->  Sample: ids, trained (mask), turn of each trained token

A trajectory is one sequence already: its turns concatenate, so multi-turn data needs no search for common prefixes. Only
what a policy says is trained; prompts, tool replies and the frame of the chat template are context.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wideseek.policy.base import ToolSchema
from wideseek.policy.template import ChatTemplate
from wideseek.records import Rollout, Trajectory
from wideseek.roles import LEAD, SINGLE, SUB, Profile


@dataclass(frozen=True)
class Sample:
    """One agent's sequence.

    `ids` [T] are its tokens; `turns` [T] numbers the turn that a token was sampled in, from 1, and is 0 for context.
    `rollout` numbers the rollout it is of, `role` is the agent's role.
    """

    ids: NDArray[np.int32]
    turns: NDArray[np.int16]
    rollout: int = 0
    role: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def trained(self) -> NDArray[np.bool_]:
        """[T]: which tokens a policy sampled in turns that are to be trained."""
        return self.turns > 0


class Renderer:
    """Trajectories as samples: the template of the model that is trained, the prompt profile that was used."""

    def __init__(self, template: ChatTemplate, profile: Profile) -> None:
        self.template = template
        self._tools: dict[str, list[ToolSchema]] = {
            role.name: [face.schema for face in profile.faces(role).values()] for role in (LEAD, SUB, SINGLE)
        }

    def sample(self, run: Trajectory, rollout: int = 0) -> Sample:
        """The sample of one agent. Turns that are not `trainable`, or were cut off, are context."""
        ids: list[int] = []
        turns: list[int] = []
        for number, turn in enumerate(run.turns):
            before = self.template.delta(run, number, self._tools[run.role])
            said = self.template.sampled(turn.completion)
            trained = turn.trainable and not turn.completion.truncated
            ids += [*before, *said]
            turns += [0] * len(before) + [number + 1 if trained else 0] * len(said)
        return Sample(np.array(ids, np.int32), np.array(turns, np.int16), rollout, run.role)


def samples_of(rollouts: Iterable[Rollout], renderer: Renderer) -> Iterable[Sample]:
    """The samples of all agents of all rollouts in order, without those in which nothing is trained."""
    for number, rollout in enumerate(rollouts):
        for run in rollout.trajectories:
            sample = renderer.sample(run, number)
            if sample.trained.any():
                yield sample


def save_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write samples as one `.npz` file."""
    roles = sorted({sample.role for sample in samples})
    with path.open("wb") as out:
        np.savez(
            out,
            ids=np.concatenate([sample.ids for sample in samples]),
            turns=np.concatenate([sample.turns for sample in samples]),
            lengths=np.array([len(sample) for sample in samples], np.int32),
            rollouts=np.array([sample.rollout for sample in samples], np.int32),
            roles=np.array([roles.index(sample.role) for sample in samples], np.int8),
            names=np.array(roles),
        )


def load_samples(path: Path) -> list[Sample]:
    """Read what `save_samples` wrote."""
    with np.load(path) as file:
        ends = np.cumsum(file["lengths"])[:-1]
        names = [str(name) for name in file["names"]]
        parts = zip(
            np.split(file["ids"], ends), np.split(file["turns"], ends), file["rollouts"], file["roles"], strict=True
        )
        return [Sample(ids, turns, int(rollout), names[role]) for ids, turns, rollout, role in parts]
