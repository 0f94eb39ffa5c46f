"""The first weights of the nano model: a plain Qwen3 whose attention already knows how to copy.

Random weights learn to copy late, and copying is most of what an agent of a million parameters does: a phrase into a
query, a name into a row. `with_copy_circuits` writes the two parts of an induction head into the first two layers
("mimetic initialisation"); training changes them like any other weight, and the result is a plain `Qwen3ForCausalLM`.

    layer 0   two heads attend to the token one and two places back, and write its code where layer 1 reads it
    layer 1   two heads attend to the place after an earlier occurrence of the last token, or the last two
"""

from __future__ import annotations

import math

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

CODE = 24  # dimensions of a token's code
SHARP_PREVIOUS, SHARP_MATCH = 2.2, 1.6  # gains of the query and key norms in the two layers
FREQUENCIES = 5  # RoPE's fastest ones, which tell neighbouring places apart
SLOW = 1 / 800  # radians per token: what turns slower hardly depends on the place
COPY = 0.5  # how strongly a matched token is predicted
FAINT = 0.02


def nano_config(vocab_size: int, context_tokens: int, pad: int, eos: int) -> Qwen3Config:
    """The shape of the nano model: 1.4 M parameters and 160 for each token."""
    return Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=160,
        intermediate_size=320,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=context_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
    )


def first_weights(config: Qwen3Config, seed: int) -> Qwen3ForCausalLM:
    """Weights at their start, equal for equal seeds."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                weight.zero_()  # every layer begins as the identity
            elif "embed" in name:
                weight.normal_(0, 0.1)
            elif weight.ndim == 2:
                weight.normal_(0, weight.shape[1] ** -0.5)
        with_copy_circuits(model)
    return model


@torch.no_grad()
def with_copy_circuits(model: Qwen3ForCausalLM) -> None:
    """Write the circuits into a model whose layers are the identity. Needs at least two layers and two heads."""
    config = model.config
    hidden, width = config.hidden_size, config.head_dim
    words = hidden - 2 * CODE  # dimensions of the token itself; behind them the codes of the two tokens before it
    embeddings = model.model.embed_tokens.weight
    embeddings[:, words:] *= 0.1
    embeddings[:, 0] = 0.5  # the same for all tokens: what a head reads that looks at places only
    code = torch.zeros(CODE, hidden)
    code[:, 1:words] = torch.linalg.qr(torch.randn(words - 1, CODE))[0].T
    speeds = [config.rope_parameters["rope_theta"] ** (-2 * i / width) for i in range(width // 2)]
    _previous_token_heads(model.model.layers[0].self_attn, code, words, width, speeds)
    _match_heads(model.model.layers[1].self_attn, code, words, width, speeds)


def _previous_token_heads(
    attention: torch.nn.Module, code: torch.Tensor, words: int, width: int, speeds: list[float]
) -> None:
    half = width // 2
    fast = range(FREQUENCIES)
    _sharpen(attention, [*fast, *(half + i for i in fast)], SHARP_PREVIOUS, width)
    key, value, out = attention.k_proj.weight, attention.v_proj.weight, attention.o_proj.weight
    key[:width] *= FAINT
    key[list(fast), 0] = 1.0
    value[:width] *= FAINT
    value[:CODE] = code
    for head, distance in enumerate((1, 2)):
        query = attention.q_proj.weight[head * width : (head + 1) * width]
        query *= FAINT
        for i in fast:  # a phase that RoPE turns back at exactly this distance
            query[i, 0] = math.cos(distance * speeds[i])
            query[half + i, 0] = -math.sin(distance * speeds[i])
        for i in range(CODE):
            out[words + head * CODE + i, head * width + i] = 0.2


def _match_heads(attention: torch.nn.Module, code: torch.Tensor, words: int, width: int, speeds: list[float]) -> None:
    half = width // 2
    slow = [i for i in range(half) if speeds[i] < SLOW]
    channels = [
        slow[i] if i < len(slow) else slow[i - len(slow)] + half for i in torch.randperm(2 * len(slow)).tolist()
    ]
    size = min(len(channels) // 2, CODE)
    last, before = channels[:size], channels[size : 2 * size]
    _sharpen(attention, [*last, *before], SHARP_MATCH, width)
    key, value, out = attention.k_proj.weight, attention.v_proj.weight, attention.o_proj.weight
    key[:width] *= FAINT
    two, one = attention.q_proj.weight[:width], attention.q_proj.weight[width : 2 * width]  # tokens that have to match
    two *= FAINT
    one *= FAINT
    for i in range(size):
        key[last[i], words + i] = 1.0  # the token before this place ...
        key[before[i], words + CODE + i] = 1.0  # ... and the one before that
        two[last[i]] = code[i]  # are the token here ...
        one[last[i]] = code[i]
        two[before[i], words + i] = 1.0  # ... and the one before it
    copied = torch.linalg.qr(torch.randn(words - 1, width))[0].T
    value[:width] = 0.0
    value[:width, 1:words] = copied
    for head in range(2):
        out[1:words, head * width : (head + 1) * width] = COPY * copied.T


def _sharpen(attention: torch.nn.Module, channels: list[int], gain: float, width: int) -> None:
    """Let the two circuit heads look at few channels, sharply. The norms are shared by all heads of a layer."""
    norm = torch.ones(width)
    norm[channels] = gain
    attention.q_norm.weight.copy_(norm)
    attention.k_norm.weight.copy_(norm)
