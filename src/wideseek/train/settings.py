"""The configuration of a training: TOML and `key=value` overrides, checked before anything is loaded.

    kind = "sft"      behaviour cloning from saved rollouts (`SftConfig`)
    kind = "marl"     reinforcement learning of the lead and the subagents together (`MarlConfig`)

Keys that are not given have the defaults below; an unknown one is an error that names the nearest right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from wideseek.config import BudgetConfig, Config, Section, read_toml
from wideseek.errors import BadConfig

Precision = Literal["fp32", "bf16"]


class OptimizerConfig(Section):
    """How weights are updated."""

    name: Literal["muon", "adamw"] = Field("adamw", description="muon: Muon for matrices, AdamW for the rest")
    lr: float = Field(1e-4, gt=0, description="AdamW's learning rate")
    matrix_lr: float = Field(0.01, gt=0, description="Muon's learning rate")
    betas: list[float] = Field([0.9, 0.95], min_length=2, max_length=2)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0, description="largest norm of a gradient")
    warmup: float = Field(0.01, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    decay: float = Field(0.5, ge=0, le=1, description="share of the steps over which it falls to zero")


class SftData(Section):
    """What is learnt from."""

    rollouts: list[str] = Field(min_length=1, description="files of rollouts (.jsonl, .jsonl.gz); globs allowed")
    held_out: list[str] = Field([], description="files of rollouts that are only measured on")
    subagents: int | None = Field(
        None, ge=1, description="at most so many subagents per rollout and epoch, drawn anew; unset: all"
    )
    longest: int = Field(4096, ge=16, description="longer samples are left out, and counted")
    short_steps: int = Field(0, ge=0, description="so many steps at the beginning see short samples only")
    short: int = Field(256, ge=16, description="tokens of a short sample, at most")


class SftConfig(Section):
    """Behaviour cloning from rollouts."""

    kind: Literal["sft"] = "sft"
    model: str = Field(description="where to start: a folder or a hub name")
    out: Path = Field(description="folder of this training")
    prompts: str = Field("default", description="prompt profile that the rollouts were made with")
    data: SftData
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = Field(1000, ge=1)
    tokens_per_step: int = Field(8192, ge=16, description="about so many tokens in one update")
    tokens_per_pass: int | None = Field(
        None, ge=16, description="so many at a time, which bounds memory; unset: 2048 on a CPU, 16384 on a GPU"
    )
    precision: Precision = Field("bf16", description="of the forward and backward pass; weights are fp32")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="CPU threads; unset: torch's choice")
    seed: int = 0
    eval_every: int = Field(200, ge=1, description="steps between two measurements on held-out rollouts")
    eval_samples: int = Field(256, ge=1, description="held-out samples that are measured on")
    save_every: int = Field(200, ge=1, description="steps between two checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints kept")


class LossConfig(Section):
    """The clipped surrogate (`loss`)."""

    clip_low: float = Field(0.2, ge=0, le=1, description="a ratio below 1 - clip_low earns no further reward")
    clip_high: float = Field(0.28, ge=0, description="nor does one above 1 + clip_high")
    dual_clip: float | None = Field(10.0, gt=1, description="what a token with a negative advantage may cost at most")
    ratio_cap: float | None = Field(None, ge=1, description="largest ratio; unset: none")
    drop_ratio: float | None = Field(
        None, gt=1, description="passes whose mean ratio is larger are left out (the released code: 5); unset: none"
    )
    kl: float = Field(0.0, ge=0, description="weight of the KL divergence from the starting weights")


class LoraConfig(Section):
    """Low-rank adapters instead of all weights."""

    rank: int = Field(0, ge=0, description="0: all weights are trained")
    alpha: int = Field(32, ge=1)
    targets: list[str] | str = Field("all-linear", description="names of the matrices that get adapters")


class RewardSection(Section):
    """What a rollout earns beside its score (`scoring/reward`)."""

    format: float = Field(0.1, description="for an answer in the form asked for")
    access: float = Field(0.05, description="where any agent opened a page")
    length: float = Field(0.1, description="taken away where the longest turn is too long")
    length_free: int = Field(3_000, ge=0, description="tokens of a turn from which that begins")
    length_full: int = Field(5_000, ge=1, description="tokens of a turn where all of it is taken")


class MarlData(Section):
    """What is asked."""

    tasks: list[str] = Field(["pocket-train"], min_length=1, description="files of tasks, or pocket-train")
    deep: float = Field(0.0, ge=0, le=1, description="share of questions with a short answer; the others want a table")
    limit: int | None = Field(None, ge=1, description="only so many tasks of each kind, drawn once; unset: all")


class MarlEval(Section):
    """How progress is measured: on the same questions every time."""

    every: int = Field(10, ge=0, description="steps between two evaluations; 0: none")
    tasks: list[str] = Field(["pocket-dev"], min_length=1)
    kind: Literal["wide", "deep"] | None = Field("wide", description="of the questions; unset: both")
    limit: int = Field(48, ge=1, description="so many questions, drawn once")
    width: int | None = Field(None, ge=1, description="unset: the largest of widths")
    greedy: bool = True
    sampled: bool = True


Roles = list[Literal["lead", "sub", "single"]]


class MarlConfig(Section):
    """Multi-agent reinforcement learning. A step is `questions` groups of `group` rollouts each, and one update."""

    kind: Literal["marl"] = "marl"
    model: str = Field(description="where to start: a folder or a hub name")
    out: Path = Field(description="folder of this training")
    team: Config = Field(Config(), description="who works, and how: any key of `wideseek config` but model")
    roles: Roles = Field([], description="who is trained; empty: lead and sub, or single")
    frozen: str | None = Field(
        None, description="model of a role that is not trained, as `wideseek ask` takes it; unset: the starting weights"
    )
    widths: list[int] = Field([10], min_length=1, description="most subagents of a turn, drawn for every question")
    data: MarlData = MarlData()
    eval: MarlEval = MarlEval()
    questions: int = Field(8, ge=1, description="of one step")
    group: int = Field(8, ge=2, description="rollouts of one question, which are compared with each other")
    steps: int = Field(35, ge=1)
    staleness: int = Field(
        1, ge=0, description="updates that a rollout may be behind the weights that learn from it; 0: none, one waits"
    )
    reward: RewardSection = RewardSection()
    score: Literal["strict", "rlinf"] = Field("strict", description="scorer of tables")
    judge: str = Field("exact", description="who judges what is equal: exact (no model), or a model's name")
    credit: Literal["official", "all"] = "official"
    advantage: Literal["grpo", "no_std", "leave_one_out"] = "grpo"
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    lora: LoraConfig = LoraConfig()
    tokens_per_pass: int | None = Field(None, ge=16, description="bounds memory; unset: 2048 on a CPU, 16384 on a GPU")
    share_prefixes: bool = Field(True, description="what sequences have in common is computed once")
    gradient_checkpointing: bool = False
    precision: Precision | None = Field(
        None, description="of the forward and backward pass (weights are fp32); unset: bf16 on a GPU, else fp32"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="CPU threads; unset: torch's choice")
    seed: int = 0
    stop_after: int = Field(3, ge=1, description="updates in a row that are not finite")
    save_every: int = Field(10, ge=1, description="steps between two checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints kept")
    save_rollouts: bool = True

    @property
    def trained(self) -> tuple[str, ...]:
        """The roles that are trained."""
        return tuple(self.roles) or (("lead", "sub") if self.team.workflow == "team" else ("single",))

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.team.sampling.top_p or 1.0) != 1.0 or self.team.sampling.temperature == 0:
            raise ValueError("team.sampling: what is learnt from is sampled at a temperature above 0 with top_p = 1")
        for key, own in (("model", "model"), ("sub_model", "frozen"), ("seed", "seed")):
            if getattr(self.team, key) != getattr(Config(), key):
                raise ValueError(f"team.{key}: a training has a key of its own for that: {own}")
        if self.team.budget != BudgetConfig():
            raise ValueError(
                "team.budget: a training has no budget: set steps, team.lead.max_turns, team.sub.max_turns"
            )
        possible = {"lead", "sub"} if self.team.workflow == "team" else {"single"}
        if foreign := sorted(set(self.trained) - possible):
            raise ValueError(f"roles: {foreign[0]} does not work in the workflow {self.team.workflow!r}")
        if any(width < 1 for width in self.widths):
            raise ValueError("widths: every width is 1 at least")
        if self.reward.length_full <= self.reward.length_free:
            raise ValueError("reward.length_full: has to be larger than reward.length_free")
        return self


KINDS: dict[str, type[SftConfig] | type[MarlConfig]] = {"sft": SftConfig, "marl": MarlConfig}


def load_settings(path: Path, overrides: Mapping[str, Any]) -> SftConfig | MarlConfig:
    """The training that a TOML file and dotted `overrides` describe. Raises `BadConfig` naming file, key and remedy."""
    values = read_toml(path)
    kind = values.get("kind")
    if kind not in KINDS:
        raise BadConfig(f"{path}: kind: what to train by: write kind = {' or '.join(map(repr, KINDS))}, not {kind!r}")
    return KINDS[kind].merged(values, overrides, path)


def changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two configurations, as `key before -> now`; keys that `before` lacks are passed over."""
    found: list[str] = []
    for key, value in now.items():
        if isinstance(value, Mapping):
            found += changes(before.get(key, {}), value, f"{prefix}{key}.")
        elif key in before and before[key] != value:
            found.append(f"{prefix}{key} {before[key]} -> {value}")
    return found
