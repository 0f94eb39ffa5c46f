"""Small things that the tests of reinforcement learning share: a tiny model in float64, samples, configurations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from wideseek.train.batch import PolicySample
from wideseek.train.model import prepare
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
