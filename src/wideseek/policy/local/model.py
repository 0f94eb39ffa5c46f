"""One forward pass of Qwen3 over a packed batch: any mix of chunks of prompts and single next tokens, no padding.

    x = embed(tokens)                                              [N, E], all tokens of the batch one after another
    x = x + attention(norm(x)) ; x = x + down(silu(gate) · up)     for each layer
    logits = head(norm(x[wanted]))                                 only where a token is sampled

The last layer computes keys and values of all tokens, and the rest only where a token is sampled: nobody reads more.
Attention alone knows of sequences. Single tokens of the rows of one slab are one batch (`Group`); a chunk is done row
by row in blocks of queries that read no further than they may see (`Chunk`). Query heads that share a key head are
folded into the rows of one matrix product. On a CPU, products of this form beat the fused kernels 1.2 to 2.5 times.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear, rms_norm, silu

from wideseek.policy.local.cache import Sequence, Slab
from wideseek.policy.local.weights import Layer, Shape, Weights

_QUERIES = 128  # so many queries of a chunk at once


@dataclass
class Chunk:
    """The next `count` uncached tokens of a sequence, and whether logits of the last one are wanted. Chunks stand one
    after the other behind the groups."""

    sequence: Sequence
    count: int
    ends: bool


@dataclass
class Group:
    """One token each of the first n rows of a slab, and the `seen` first positions of these rows that attention reads.
    Groups stand one after the other at the beginning of the batch."""

    slab: Slab
    rows: int
    written: Tensor  # [n·2K]: where the new keys and values go in `slab.flat`
    seen: int
    mask: Tensor | None  # [n·K, 1, seen]; None where all rows are so long


@dataclass
class Batch:
    """What one forward pass computes."""

    tokens: Tensor  # [N]
    positions: Tensor  # [N]
    groups: list[Group]
    chunks: list[Chunk]
    wanted: Tensor  # [R]: where logits are wanted, in order: all tokens of groups, the last ones of chunks that end


class Model:
    """Computes logits and writes keys and values into the rows of the batch's sequences."""

    def __init__(self, shape: Shape, weights: Weights, context: int) -> None:
        self.shape, self.weights = shape, weights
        self.device, self.dtype = weights.embed.device, weights.embed.dtype
        half = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
        angles = torch.arange(context, dtype=torch.float32)[:, None] * (1.0 / shape.theta**half)
        cos, sin = angles.cos(), angles.sin()
        self._cos = torch.cat([cos, cos], -1).to(self.device, self.dtype)  # [C, D]
        self._sin = torch.cat([-sin, sin], -1).to(self.device, self.dtype)
        # oneDNN, which does bf16 on CPUs, copies what is not dense, so there whole rows are read.
        self._whole_rows = self.device.type == "cpu" and self.dtype == torch.bfloat16
        hidden = torch.full((_QUERIES, _QUERIES), float("-inf"), dtype=self.dtype, device=self.device)
        self._future = hidden.triu_(1)  # [Q, Q]

    def group(self, slab: Slab, positions: list[int]) -> Group:
        """The group of a slab's rows whose new tokens have these positions."""
        heads, rows = self.shape.kv_heads, len(slab.rows)
        at = torch.tensor(positions, device=self.device)  # [n]
        row = torch.arange(2 * rows, device=self.device).view(2, rows)[:, : len(positions)].T  # [n, 2]
        head = torch.arange(heads, device=self.device)
        written = (row[:, :, None] * heads + head) * slab.capacity + at[:, None, None]  # [n, 2, K]
        seen = slab.capacity if self._whole_rows else max(positions) + 1
        mask = None
        if min(positions) + 1 < seen:
            beyond = torch.arange(seen, device=self.device) > at[:, None]
            hidden = torch.zeros(beyond.shape, dtype=self.dtype, device=self.device).masked_fill_(beyond, float("-inf"))
            mask = hidden.repeat_interleave(heads, 0)[:, None]
        return Group(slab, len(positions), written.flatten(), seen, mask)

    def logits(self, batch: Batch) -> Tensor:
        """[R, V] in float32."""
        eps, size = self.shape.eps, (self.shape.hidden,)
        x = self.weights.embed[batch.tokens]  # [N, E]
        cos, sin = self._cos[batch.positions][:, None], self._sin[batch.positions][:, None]  # [N, 1, D]
        for number, layer in enumerate(self.weights.layers):
            qkv = self._heads(rms_norm(x, size, layer.norm, eps), layer, cos, sin)
            last = number == len(self.weights.layers) - 1
            seen = self._attention(number, batch, qkv, only_wanted=last)
            x = x[batch.wanted] if last else x
            x += linear(seen, layer.out, layer.out_bias)
            gate, up = linear(rms_norm(x, size, layer.mlp_norm, eps), layer.gate_up).chunk(2, -1)  # [N, F] each
            x += linear(silu(gate).mul_(up), layer.down)
        return linear(rms_norm(x, size, self.weights.norm, eps), self.weights.head).float()

    def _heads(self, x: Tensor, layer: Layer, cos: Tensor, sin: Tensor) -> Tensor:
        """Queries (scaled), keys and values, [N, H+2K, D]; queries and keys normed and turned."""
        shape = self.shape
        qkv = linear(x, layer.qkv, layer.qkv_bias).view(x.shape[0], -1, shape.head_dim)
        turning = qkv[:, : shape.heads + shape.kv_heads]
        qk = rms_norm(turning, (shape.head_dim,), None, shape.eps).mul_(layer.qk_norm)
        other = qk.roll(shape.head_dim // 2, -1).mul_(sin)  # the halves change places
        torch.add(qk.mul_(cos), other, out=turning)
        return qkv

    def _attention(self, layer: int, batch: Batch, qkv: Tensor, only_wanted: bool) -> Tensor:
        """[N, H·D], or [R, H·D] where only what is wanted is asked for; keys and values are written on the way."""
        heads, size = self.shape.heads, self.shape.head_dim
        count = len(batch.wanted) if only_wanted else len(qkv)
        out = torch.empty(count, heads * size, dtype=self.dtype, device=self.device)
        queries, new = qkv[:, :heads], qkv[:, heads:]  # [N, H, D], [N, 2K, D]
        start = filled = 0
        for group in batch.groups:
            part = slice(start, start + group.rows)
            self._attend_group(layer, group, queries[part], new[part], out[part])
            start = filled = part.stop
        for chunk in batch.chunks:
            end, asked = start + chunk.count, int(chunk.ends) if only_wanted else chunk.count
            self._attend_chunk(layer, chunk, queries[end - asked : end], new[start:end], out[filled : filled + asked])
            start, filled = end, filled + asked
        return out

    def _attend_group(self, layer: int, group: Group, queries: Tensor, new: Tensor, out: Tensor) -> None:
        rows, size = group.rows * self.shape.kv_heads, self.shape.head_dim
        group.slab.flat[layer].index_copy_(0, group.written, new.reshape(-1, size))
        q = queries.reshape(rows, -1, size)  # [n·K, G, D]
        k = group.slab.keys[layer][:rows, : group.seen].mT  # [n·K, D, seen]
        v = group.slab.values[layer][:rows, : group.seen]  # [n·K, seen, D]
        scores = torch.bmm(q, k) if group.mask is None else torch.baddbmm(group.mask, q, k)
        torch.bmm(torch.softmax(scores, -1), v, out=out.view(rows, -1, size))

    def _attend_chunk(self, layer: int, chunk: Chunk, queries: Tensor, new: Tensor, out: Tensor) -> None:
        """`queries` are those of the chunk's last tokens, of all or of fewer."""
        shape, sequence, count, asked = self.shape, chunk.sequence, chunk.count, len(queries)
        kv = sequence.slab.kv[layer, :, sequence.row]  # [2, K, C, D]
        written = slice(sequence.cached, sequence.cached + count)
        kv[:, :, written] = new.view(count, 2, shape.kv_heads, -1).permute(1, 2, 0, 3)
        keys, values, past = kv[0], kv[1], written.stop - asked
        shared = (asked, shape.kv_heads, shape.heads // shape.kv_heads, shape.head_dim)
        folded = queries.view(shared).permute(1, 2, 0, 3)  # [K, G, asked, D]
        unfolded = out.view(shared).permute(1, 2, 0, 3)
        for first in range(0, asked, _QUERIES):
            last = min(first + _QUERIES, asked)
            size, seen = last - first, past + last
            q = folded[:, :, first:last].reshape(shape.kv_heads, -1, shape.head_dim)  # [K, G·size, D]
            scores = torch.bmm(q, keys[:, :seen].mT)  # [K, G·size, seen]
            scores.view(shape.kv_heads, -1, size, seen)[..., past + first :] += self._future[:size, :size]
            heads = torch.bmm(torch.softmax(scores, -1), values[:, :seen])
            unfolded[:, :, first:last] = heads.view(shape.kv_heads, -1, size, shape.head_dim)
