"""The arms of an ablation, the groups they are chosen by, and one run of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wideseek.errors import BadInput
from wideseek.evals.ablation import run_name

if TYPE_CHECKING:
    from wideseek.train.settings import MarlConfig


@dataclass(frozen=True)
class Arm:
    """What an arm is, and what it changes in the configuration that all share."""

    about: str
    changes: Mapping[str, Any]
    how: Literal["marl", "expert", "best", "none"] = "marl"


SINGLE = {"team.workflow": "single", "roles": []}
CONTEXTS = (768, 1280)  # besides the configured one: a table of a few members alone takes 700 tokens
ARMS: dict[str, Arm] = {
    "start": Arm("the model before any training", {}, "none"),
    "joint": Arm("lead and subagents trained together, as configured", {}),
    "lead": Arm("the lead trained, subagents as at the start", {"roles": ["lead"]}),
    "sub": Arm("subagents trained, the lead as at the start", {"roles": ["sub"]}),
    "deep": Arm("trained on questions with a short answer only", {"data.deep": 1.0}),
    "hybrid": Arm("half tables, half short answers, as many questions", {"data.deep": 0.5}),
    **{
        f"single-{size}": Arm(
            f"a single agent with {size:,} tokens of context", {**SINGLE, "team.single.context_tokens": size}
        )
        for size in CONTEXTS
    },
    "single": Arm("a single agent instead of a team", SINGLE),
    "sft": Arm("control: supervised, the expert's demonstrations, for as many tokens", {}, "expert"),
    "sft-equal": Arm("control: supervised, the expert's demonstrations, for as much compute", {}, "expert"),
    "best-of-n": Arm("control: supervised, the start's best rollout of each question", {}, "best"),
}
GROUPS = {
    "roles": ("joint", "lead", "sub"),
    "data": ("start", "joint", "deep", "hybrid"),
    "workflow": ("joint", "single"),
    "width": ("start", "joint"),
    "depth": (*(f"single-{size}" for size in CONTEXTS), "single"),
}
CONTROLS = ("sft", "sft-equal", "best-of-n")
WIDTHS = (1, 2, 3, 5, 10)


def chosen_arms(names: Sequence[str], controls: bool) -> tuple[list[str], set[str]]:
    """The arms that `names` (arms and groups) stand for, in the order of `ARMS`, and the groups among them."""
    groups = {name for name in names if name in GROUPS}
    arms = {arm for name in names for arm in GROUPS.get(name, (name,))}
    if unknown := sorted(arms - ARMS.keys()):
        raise BadInput(f"--arms: {unknown[0]!r} is no arm ({', '.join(ARMS)}) and no group ({', '.join(GROUPS)})")
    if controls or arms & set(CONTROLS):
        arms |= {"joint", *(CONTROLS if controls else ())}  # whose questions and tokens a control has
    return [arm for arm in ARMS if arm in arms], groups


@dataclass(frozen=True)
class Job:
    """One run to be made: an arm with its seed. `probes` are groups whose further measurements it gets."""

    arm: str
    config: MarlConfig
    study: Path
    probes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return run_name(self.arm, self.config.seed)
