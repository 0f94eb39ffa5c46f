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
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    value = value.to(query.dtype)
    parts = zip(*(tensor.split(list(segments), 2) for tensor in (query, key, value)), strict=True)
    seen = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, dropout_p=dropout) for q, k, v in parts
    ]
    return torch.cat(seen, 2).transpose(1, 2).contiguous(), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Segments say it all."""


def register() -> None:
    AttentionInterface.register(PACKED, packed_attention)
    AttentionMaskInterface.register(PACKED, _no_mask)
