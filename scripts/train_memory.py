"""What a training of all weights needs of a GPU's memory, as a sum: nothing is loaded or run.

    python scripts/train_memory.py [configs/qwen3-4b.toml]

The model is Qwen3-4B, whose sizes stand below. GB are 10^9 bytes; activations are those of one sample of the longest
context with gradient checkpointing: the input of each layer, and one layer alive.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wideseek.train.head import AT_ONCE
from wideseek.train.settings import load_settings

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD, FF, VOCAB = 36, 2560, 32, 8, 128, 9728, 151_936


def parameters() -> int:
    attention = HIDDEN * HEAD * (2 * HEADS + 2 * KV_HEADS) + 2 * HEAD
    return VOCAB * HIDDEN + LAYERS * (attention + 3 * HIDDEN * FF + 2 * HIDDEN) + HIDDEN


def parts(kv_tokens: int, context: int) -> dict[str, float]:
    """What is held while a step is learnt, in GB."""
    count = parameters()
    layer = context * (4 * HIDDEN * 4 + (2 * HEADS + 2 * KV_HEADS) * HEAD * 2 * 2 + 4 * FF * 2)
    return {
        "weights, gradients and AdamW's two moments, fp32": 16 * count / 1e9,
        "the engine's weights, bf16": 2 * count / 1e9,
        f"the engine's cache of {kv_tokens:,} tokens, bf16": kv_tokens * 2 * LAYERS * KV_HEADS * HEAD * 2 / 1e9,
        "autocast's copies of the weights, bf16": 2 * count / 1e9,
        f"inputs of the layers for {context:,} tokens, fp32": context * LAYERS * HIDDEN * 4 / 1e9,
        "one layer alive": layer / 1e9,
        "one part of the logits, three times, fp32": 3 * AT_ONCE * 4 / 1e9,
        "the head's gradient before it is added, fp32": VOCAB * HIDDEN * 4 / 1e9,
    }


def main() -> None:
    config = load_settings(Path(sys.argv[1] if len(sys.argv) > 1 else "configs/qwen3-4b.toml"), {})
    assert config.kind == "marl"
    held = parts(config.team.local.kv_tokens or 0, config.team.lead.context_tokens)
    for name, size in held.items():
        print(f"{size:6.1f}  {name}")
    print(f"{sum(held.values()):6.1f}  in all, while a step is learnt")
    print(f"{2 * parameters() / 1e9:6.1f}  more while the engine takes new weights, when the last five are free")


if __name__ == "__main__":
    main()
