"""From rollouts to samples: one token sequence per agent, and which of its tokens a policy would sample.

    Rollout  ->  Trajectory  ->  Sample: ids, and of each token the turn that it was sampled in

A trajectory is one sequence already: its turns concatenate, so multi-turn data needs no search for common prefixes.
Only what a policy says is trained; prompts, tool replies and the frame of the chat template are context.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from wideseek.errors import BadInput
from wideseek.files import write_whole
from wideseek.policy.base import ToolSchema
from wideseek.policy.template import ChatTemplate
from wideseek.records import Completion, Rollout, Trajectory
from wideseek.roles import LEAD, SINGLE, SUB, Profile


@dataclass(frozen=True, slots=True)
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
    def targeted(self) -> NDArray[np.bool_]:
        """[T]: which tokens are learnt: sampled in a turn that is to be trained, with something before them."""
        targeted = self.turns > 0
        targeted[:1] = False
        return targeted


class Renderer:
    """Trajectories as samples: the template of the model that is trained, the prompt profile that was used."""

    def __init__(self, template: ChatTemplate, profile: Profile) -> None:
        self.template = template
        self._tools: dict[str, list[ToolSchema]] = {
            role.name: [face.schema for face in profile.faces(role).values()] for role in (LEAD, SUB, SINGLE)
        }

    @property
    def fingerprint(self) -> str:
        """Of all that samples are made with, besides the rollouts: tokenizer, chat template, tool schemas."""
        tokenizer = self.template.tokenizer
        digest = hashlib.blake2b(digest_size=16)
        digest.update(tokenizer.backend_tokenizer.to_str().encode() if tokenizer.is_fast else repr(tokenizer).encode())
        digest.update(str(tokenizer.chat_template).encode())
        digest.update(msgspec.json.encode(self._tools))
        return digest.hexdigest()

    def samples(self, rollouts: Iterable[Rollout]) -> Iterator[Sample]:
        """The samples of all agents of all rollouts in order, without those in which nothing is trained."""
        for number, rollout in enumerate(rollouts):
            for run in rollout.trajectories:
                if run.role not in self._tools:
                    raise BadInput(
                        f"task {rollout.task.instance_id}: agent {run.path} has the role {run.role!r}: "
                        f"rollouts of {', '.join(self._tools)} can be learnt from"
                    )
                sample = self.sample(run, number)
                if sample.targeted.any():
                    yield sample

    def sample(self, run: Trajectory, rollout: int = 0) -> Sample:
        """The sample of one agent. Turns that are not `trainable`, or were cut off, are context.

        Ids that were sampled are kept, unless they are another tokenizer's: then all is written by this one's template.
        """
        ids: list[int] = []
        turns: list[int] = []
        if not all(self._reads_as_recorded(turn.completion, self._tools[run.role]) for turn in run.turns):
            run = _without_ids(run)
        for number, turn in enumerate(run.turns):
            before = self.template.delta(run, number, self._tools[run.role])
            said = self.template.sampled(turn.completion)
            trained = turn.trainable and not turn.completion.truncated
            ids += [*before, *said]
            turns += [0] * len(before) + [number + 1 if trained else 0] * len(said)
        return Sample(np.array(ids, np.int32), np.array(turns, np.int16), rollout, run.role)

    def _reads_as_recorded(self, completion: Completion, tools: Sequence[ToolSchema]) -> bool:
        if completion.completion_ids is None:
            return True
        reasoning, text, calls = self.template.read(completion.completion_ids, tools=tools)
        said = [(call.name, call.arguments) for call in completion.tool_calls]
        return (completion.reasoning, completion.text, said) == (
            reasoning,
            text,
            [(c.name, c.arguments) for c in calls],
        )


def _without_ids(run: Trajectory) -> Trajectory:
    said = [
        msgspec.structs.replace(turn, completion=msgspec.structs.replace(turn.completion, **_UNKNOWN))
        for turn in run.turns
    ]
    return msgspec.structs.replace(run, turns=said)


_UNKNOWN: dict[str, Any] = {"prompt_ids": None, "completion_ids": None, "logprobs": None, "versions": None}


def save_samples(path: Path, samples: Sequence[Sample], fingerprint: str = "") -> None:
    """Write samples as one `.npz` file, whole or not at all. `fingerprint` says what they were made with."""
    roles = sorted({sample.role for sample in samples})
    content = io.BytesIO()
    np.savez(
        content,
        ids=_row([sample.ids for sample in samples], np.int32),
        turns=_row([sample.turns for sample in samples], np.int16),
        lengths=np.array([len(sample) for sample in samples], np.int32),
        rollouts=np.array([sample.rollout for sample in samples], np.int32),
        roles=np.array([roles.index(sample.role) for sample in samples], np.int8),
        names=np.array(roles, np.str_),
        fingerprint=np.array(fingerprint),
    )
    write_whole({path: content.getvalue()})


def _row(arrays: Sequence[NDArray[np.integer]], dtype: type[np.integer]) -> NDArray[np.integer]:
    return np.concatenate([np.array([], dtype), *arrays])


def load_samples(path: Path) -> tuple[list[Sample], str]:
    """Read what `save_samples` wrote: the samples, and the fingerprint (empty where the file has none)."""
    with np.load(path) as file:
        ends = np.cumsum(file["lengths"])
        ids, turns = np.split(file["ids"], ends)[:-1], np.split(file["turns"], ends)[:-1]
        names = [str(name) for name in file["names"]]
        rows = zip(ids, turns, file["rollouts"].tolist(), file["roles"].tolist(), strict=True)
        samples = [Sample(one, turn, rollout, names[role]) for one, turn, rollout, role in rows]
        return samples, str(file["fingerprint"]) if "fingerprint" in file else ""
