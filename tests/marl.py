"""What the tests of reinforcement learning share.

tiny_model(), sample(), config()   a tiny model in float64, samples, settings of a learner
start_folder(folder)               a tiny model with a tokenizer, and tasks
marl(start, out, **keys)           a whole training from there, of two steps
even                               a reward that any policy can raise
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from tests.training import terse_tokenizer, tiny
from wideseek.records import Rollout, Score, Task, write_jsonl
from wideseek.roles import Profile
from wideseek.scoring.reward import Reward
from wideseek.train.batch import PolicySample
from wideseek.train.log import read_metrics
from wideseek.train.model import prepare, save_model
from wideseek.train.settings import MarlConfig


def tiny_model(packed: bool = True, seed: int = 0, vocab: int = 50) -> Any:
    """A Qwen3 of two layers in float64; the same weights for the same seed."""
    torch.manual_seed(seed)
    shape = Qwen3Config(
        vocab_size=vocab, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(shape).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.25)
    if packed:
        prepare(model)
    return model


def config(**values: Any) -> MarlConfig:
    return MarlConfig.model_validate({"model": "start", "out": "out", "precision": "fp32", **values})


def sample(
    ids: Iterable[int],
    places: Iterable[int],
    old: Iterable[float],
    weight: float,
    scale: float = 0.1,
    role: str = "sub",
) -> PolicySample:
    return PolicySample(
        np.array(list(ids), np.int32),
        np.array(list(places), np.int32),
        np.array(list(old), np.float32),
        weight,
        scale,
        role,
    )


# --------------------------------------------------------------------------------------------------- whole trainings


def start_folder(folder: Path) -> Path:
    tokenizer = terse_tokenizer(Profile.load("nano"))
    save_model(tiny(vocab_size=len(tokenizer)), tokenizer, folder / "model")
    tasks = [
        Task(instance_id=f"w{n}", question=f"Lighthouses {n}?", answer="```\n| name |\n|---|\n| A |\n```")
        for n in range(5)
    ]
    tasks += [Task(instance_id=f"d{n}", question=f"Where is {n}?", answer=["there"]) for n in range(3)]
    write_jsonl(folder / "tasks.jsonl", tasks)
    return folder


def marl(start: Path, out: Path, **values: Any) -> MarlConfig:
    limits = {"max_turns": 2, "max_calls": 2, "context_tokens": 512}
    team = {
        "prompts": "nano", "sampling": {"temperature": 1.0, "max_tokens": 12}, "lead": limits, "sub": limits,
        "local": {"threads": 1, "kv_tokens": 8192}, **values.pop("team", {}),
    }  # fmt: skip
    merged: dict[str, Any] = {
        "model": str(start / "model"), "out": str(out), "data": {"tasks": [str(start / "tasks.jsonl")]}, "questions": 2,
        "group": 4, "steps": 2, "staleness": 0, "precision": "fp32", "threads": 1, "credit": "all", "widths": [2],
        "optimizer": {"lr": 0.01, "warmup": 0.0, "decay": 0.0}, "eval": {"every": 0}, "team": team, **values,
    }  # fmt: skip
    return MarlConfig.model_validate(merged)


def even(rollout: Rollout, _: Score) -> Reward:
    """A reward that any policy can raise: the share of its tokens with an even id."""
    ids = [at for run in rollout.trajectories for turn in run.turns for at in turn.completion.completion_ids or []]
    return Reward(sum(at % 2 == 0 for at in ids) / len(ids))


def lines(out: Path) -> list[dict[str, Any]]:
    return read_metrics(out / "metrics.jsonl")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    return found
