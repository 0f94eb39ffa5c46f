"""From rollouts to samples: what was sampled, by which probabilities, and what each token weighs.

    weight of every trained token of agent a of rollout i  =  Â_i / (rollouts · agents_i · tokens_ia)

`rollouts` counts all scored rollouts of the step, those of groups that teach nothing included; `agents_i` the agents
of rollout i in which anything is trained, `tokens_ia` the trained tokens of agent a. So neither ranks nor micro-batches
nor skipped groups change the size of a step.

This is the paper's formula, not what its released code computes. R rollouts i have n_i trained tokens, each of loss
l_it before any scale:

    the paper, and here     1/R Σ_i  1/n_i Σ_t  l_it              every rollout weighs the same, however long it is
    the release             Σ_i Σ_t l_it  /  Σ_i n_i              in each micro-batch, then the mean of micro-batches

(written for one agent a rollout). The release multiplies in the same scales, but reduces by a token mean over all
sequences of a micro-batch: rollouts of 100 and 1,000 tokens in one weigh 0.09 and 0.91 there, 0.5 and 0.5 here.

A trajectory is one sequence already: its turns are deltas and concatenate; what stands behind the last trained token
is left out, since nothing is predicted from it. Unscored rollouts are no part of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wideseek.errors import BadInput
from wideseek.records import Rollout, Trajectory


@dataclass(frozen=True)
class PolicySample:
    """One agent's sequence: T tokens, of which those at `places` (increasing, from 1) are trained.

    `logprobs` are the sampler's, `weight` is that of each trained token, `scale` the same without the advantage.
    """

    ids: NDArray[np.int32]  # [T]
    places: NDArray[np.int32]  # [N]
    logprobs: NDArray[np.float32]  # [N]
    weight: float
    scale: float
    role: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens_by_turn(self) -> int:
        """Tokens that it would take to train each turn as a sequence of its own, with all that stands before it."""
        lasts = np.append(np.diff(self.places) > 1, True)
        return int((self.places[lasts] + 1).sum())


def policy_samples(
    rollouts: Sequence[Rollout], advantages: Sequence[float | None], *, idle: bool = False
) -> list[PolicySample]:
    """The samples of one step's rollouts, whose turns are marked (`credit`) and whose advantages are known.

    Rollouts without an advantage are left out; those whose advantage is 0 count, but give no samples unless `idle`
    (a KL penalty is learnt from them too). Raises `BadInput` where a trained turn has no token ids.
    """
    scored = [(rollout, a) for rollout, a in zip(rollouts, advantages, strict=True) if a is not None]
    return [
        sample
        for rollout, advantage in scored
        if advantage or idle
        for sample in _of_rollout(rollout, advantage, len(scored))
    ]


def _of_rollout(rollout: Rollout, advantage: float, rollouts: int) -> Iterator[PolicySample]:
    agents = [(run, *sequence) for run in rollout.trajectories if (sequence := _sequence(run)) is not None]
    for run, ids, places, logprobs in agents:
        scale = 1 / (rollouts * len(agents) * len(places))
        yield PolicySample(ids, places, logprobs, advantage * scale, scale, run.role)


def _sequence(run: Trajectory) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]] | None:
    """Ids up to the last trained token, places of trained tokens and their log-probabilities; `None` where there are
    none."""
    if not any(turn.trainable for turn in run.turns):
        return None
    ids: list[int] = []
    places: list[int] = []
    logprobs: list[float] = []
    for turn in run.turns:
        said = turn.completion
        if said.prompt_ids is None or said.completion_ids is None or said.logprobs is None:
            raise BadInput(
                f"agent {run.path}: {said.model or 'its policy'} gave no token ids and log-probabilities, so it cannot "
                "be trained: use a model that runs here (local/FOLDER) or a token server, or leave its role out"
            )
        ids += said.prompt_ids
        if turn.trainable:
            places += range(len(ids), len(ids) + len(said.completion_ids))
            logprobs += said.logprobs
        ids += said.completion_ids
    if not places:
        return None
    return np.array(ids[: places[-1] + 1], np.int32), np.array(places, np.int32), np.array(logprobs, np.float32)


def save_policy_samples(path: Path, samples: Sequence[PolicySample]) -> None:
    """Write samples as one `.npz` file, for inspection: rows of all samples one after the other, and their lengths."""
    with path.open("wb") as out:
        np.savez(
            out,
            ids=np.concatenate([sample.ids for sample in samples]),
            places=np.concatenate([sample.places for sample in samples]),
            logprobs=np.concatenate([sample.logprobs for sample in samples]),
            lengths=np.array([[len(sample.ids), len(sample.places)] for sample in samples], np.int32),
            weights=np.array([sample.weight for sample in samples]),
            roles=np.array([sample.role for sample in samples], np.str_),
        )
