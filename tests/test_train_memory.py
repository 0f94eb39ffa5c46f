"""What a training needs of memory, by arithmetic."""

from __future__ import annotations

from pathlib import Path

from transformers import Qwen3Config, Qwen3ForCausalLM

import train_memory
from wideseek.train.settings import load_settings


def test_the_memory_that_the_configuration_states_is_the_sum_that_the_script_prints() -> None:
    path = Path(__file__).parents[1] / "configs" / "qwen3-4b.toml"
    config = load_settings(path, {})
    assert config.kind == "marl"
    total = sum(train_memory.parts(config.team.local.kv_tokens or 0, config.team.lead.context_tokens).values())
    assert f"about {total:.0f} GB" in path.read_text()


def test_the_parameters_of_the_sum_are_those_of_the_model() -> None:
    import torch

    sizes = Qwen3Config(
        vocab_size=train_memory.VOCAB, hidden_size=train_memory.HIDDEN, num_hidden_layers=train_memory.LAYERS,
        num_attention_heads=train_memory.HEADS, num_key_value_heads=train_memory.KV_HEADS, head_dim=train_memory.HEAD,
        intermediate_size=train_memory.FF, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.device("meta"):
        model = Qwen3ForCausalLM(sizes)
    assert sum(p.numel() for p in model.parameters()) == train_memory.parameters()
