"""The output head and what is learnt from it, without ever holding the logits of all places.

    hidden states [P, E]  ->  part of the places  ->  logits, log Σ exp, entropy  ->  log-probability of each target

16,000 places of Qwen3's 151,936 tokens are 10 GB of logits in fp32, and softmax and gradient as much again. Here a part
of the places is computed at a time, and again on the way back, so that memory is that of one part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from wideseek.errors import BadInput

AT_ONCE = 2**25  # logits; 128 MB in fp32


def head_weight(model: Any) -> Tensor:
    """The matrix [V, E] of a model's head. Raises `BadInput` for a head that does more than multiply."""
    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.bias is not None:
        raise BadInput(
            f"a {type(model).__name__} has a head ({type(head).__name__}) that is more than one matrix: leave it out "
            "of lora.targets, or train another model"
        )
    weight: Tensor = head.weight
    return weight


def target_logprobs(
    hidden: Tensor,
    weight: Tensor,
    of: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    dtype: torch.dtype,
    compute: torch.dtype,
    at_once: int = AT_ONCE,
) -> tuple[Tensor, Tensor]:
    """Of N targets at P places: their log-probabilities at this temperature, and the entropies there; [N] each.

    `hidden` [P, E] and the head's `weight` [V, E] are multiplied in `compute`, all else is in `dtype`. `of` [N] is the
    place of each target, `labels` [N] what it is. At most `at_once` logits are held, or those of one place.
    """
    rows = max(1, at_once // len(weight))
    logprobs, entropy = _Head.apply(hidden, weight, of, labels, temperature, rows, dtype, compute)  # type: ignore[no-untyped-call]
    return logprobs, entropy


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        of: Tensor,
        labels: Tensor,
        temperature: float,
        rows: int,
        dtype: torch.dtype,
        compute: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        places = hidden.to(compute)
        head = weight.to(compute)
        order = of.argsort()
        spread = torch.empty(len(places), dtype=dtype, device=places.device)
        entropy = torch.empty_like(spread)
        logprobs = torch.empty(len(labels), dtype=dtype, device=places.device)
        for part, chosen in _parts(of, order, len(places), rows):
            logits = (places[part] @ head.T).to(dtype).div_(temperature)
            top = logits.amax(-1, keepdim=True)
            weights = (logits - top).exp_()
            total = weights.sum(-1)
            spread[part] = total.log() + top[:, 0]
            entropy[part] = spread[part] - weights.mul_(logits).sum(-1) / total
            logprobs[chosen] = logits[of[chosen] - part.start, labels[chosen]] - spread[of[chosen]]
        ctx.save_for_backward(hidden, weight, of, labels, spread, order)
        ctx.temperature, ctx.rows, ctx.compute = temperature, rows, compute
        entropies = entropy[of]
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, of, labels, spread, order = ctx.saved_tensors
        places, head = hidden.to(ctx.compute), weight.to(ctx.compute)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for part, chosen in _parts(of, order, len(places), ctx.rows):
            logits = (places[part] @ head.T).to(spread.dtype).div_(ctx.temperature)
            slope = logits.sub_(spread[part, None]).exp_()  # d logprob / d logit = [chosen] - probability, over T
            at = of[chosen] - part.start
            slope.mul_(-slope.new_zeros(len(slope)).index_add_(0, at, grad[chosen])[:, None])
            slope.index_put_((at, labels[chosen]), grad[chosen], accumulate=True)
            slope = slope.div_(ctx.temperature).to(ctx.compute)
            grad_hidden[part] = (slope @ head).to(grad_hidden.dtype)
            if grad_weight is not None:
                grad_weight += slope.T @ places[part]
        return grad_hidden, grad_weight, None, None, None, None, None, None


def _parts(of: Tensor, order: Tensor, places: int, rows: int) -> Iterator[tuple[slice, Tensor]]:
    """So many places at a time, and the targets there; `order` sorts the targets by their places."""
    sorted_places = of[order].contiguous()
    for start in range(0, places, rows):
        ends = torch.tensor([start, min(start + rows, places)], device=of.device)
        first, last = torch.searchsorted(sorted_places, ends).tolist()
        yield slice(start, min(start + rows, places)), order[first:last]
