"""Attention for packed sequences: many samples in one row, no padding, none sees another.

    [ sample 1 | sample 2 | ... ]   ids of one batch row; positions start at 0 in every sample
    causal attention inside each segment; what a segment boundary parts is never computed

It is registered with `transformers` under the name `PACKED`, so that any causal language model of the library runs on
packed rows: its forward pass hands `segments` through. On a GPU the library's own variable-length kernels do the same;
on a CPU this is one fused call per segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface

PACKED = "wideseek_packed"
PLAIN_LENGTH = 1024  # tokens; longer segments would need too much memory for all their scores


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # [1, heads, T, D]
    key: torch.Tensor,  # [1, kv_heads, T, D]
    value: torch.Tensor,  # [1, kv_heads, T, D]
    attention_mask: torch.Tensor | None,
    *,
    segments: Sequence[int],
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each of the `segments` (their lengths, in order, sum to T). Returns [1, T, heads, D]."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    scale = scaling or query.shape[-1] ** -0.5
    plain = value.device.type == "cpu" and value.dtype == torch.bfloat16 and not dropout
    seen = [
        _plain(q, k, v, scale)
        if plain and q.shape[2] <= PLAIN_LENGTH
        else F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, dropout_p=dropout, enable_gqa=True)
        for q, k, v in zip(*(tensor.split(list(segments), 2) for tensor in (query, key, value)), strict=True)
    ]
    return torch.cat(seen, 2).transpose(1, 2).contiguous(), None


def _plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
    """The same in two products. On a CPU in bf16 torch's fused kernel takes 1.7 times as long for short segments."""
    batch, heads, length, width = query.shape
    shared = key.shape[1]  # the heads that share a key are rows of one product
    scores = (query * scale).reshape(batch, shared, -1, width) @ key.transpose(-1, -2)
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
    scores = scores.view(batch, heads, length, length).masked_fill(future, float("-inf"))
    seen = scores.softmax(-1).to(value.dtype).view(batch, shared, -1, length) @ value
    return seen.view(batch, heads, length, width)


def _no_mask(*_: Any, **__: Any) -> None:
    """Segments say it all."""


def register() -> None:
    AttentionInterface.register(PACKED, packed_attention)
    AttentionMaskInterface.register(PACKED, _no_mask)
