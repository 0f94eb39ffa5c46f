"""The configuration of a training: TOML and `key=value` overrides, checked before anything is loaded.

    kind = "sft"      behaviour cloning from saved rollouts (`SftConfig`)

Keys that are not given have the defaults below; an unknown one is an error that names the nearest right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from wideseek.config import Section, read_toml
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


KINDS = {"sft": SftConfig}


def load_settings(path: Path, overrides: Mapping[str, Any]) -> SftConfig:
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
