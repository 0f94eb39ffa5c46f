"""Optimisers and schedules.

    Muon for matrices, AdamW for the rest      a few million parameters, from scratch: several times fewer steps
    AdamW for everything                       fine-tuning

Learning rates follow one shape: linear warm-up, constant, linear decay to zero (`lr_share`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from wideseek.train.settings import OptimizerConfig

State = list[dict[str, Any]]


class Optimizers:
    """One or two optimisers as one, over the parameters that require a gradient."""

    def __init__(self, model: torch.nn.Module, config: OptimizerConfig) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self._clip = config.clip
        matrices = hidden_matrices(model) if config.name == "muon" else []
        chosen = {id(p) for p in matrices}
        others = [p for p in self.parameters if id(p) not in chosen]
        decay, betas = config.weight_decay, (config.betas[0], config.betas[1])
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(torch.optim.Muon(matrices, lr=config.matrix_lr, weight_decay=decay))
        if others:
            self._parts.append(torch.optim.AdamW(others, lr=config.lr, betas=betas, eps=config.eps, weight_decay=decay))
        self._rates = [group["lr"] for group in self._groups]

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self._parts for group in part.param_groups]

    def step(self, share: float, loss: float = 0.0) -> float:
        """One update at `share` of the learning rates; returns the gradient's norm before clipping.

        Where that or the `loss` is not finite nothing is updated. Gradients are gone afterwards.
        """
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self._clip))
        if math.isfinite(norm) and math.isfinite(loss):
            for group, rate in zip(self._groups, self._rates, strict=True):
                group["lr"] = rate * share
            for part in self._parts:
                part.step()
        for part in self._parts:
            part.zero_grad(set_to_none=True)
        return norm

    def state(self) -> State:
        return [part.state_dict() for part in self._parts]

    def load(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on from `state`, at this configuration's learning rates. Raises `ValueError` where it is of other
        optimisers or of other weights."""
        for part, one in zip(self._parts, state, strict=True):
            settings = [{k: v for k, v in group.items() if k != "params"} for group in part.param_groups]
            _check_shapes(part, one)
            part.load_state_dict(one)
            for group, ours in zip(part.param_groups, settings, strict=True):
                group.update(ours)


def _check_shapes(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """That what is kept for each parameter has its shape, which torch does not check."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    count = sum(len(group["params"]) for group in state["param_groups"])
    if count != len(parameters):
        raise ValueError(f"it has {count} weights, not {len(parameters)}")
    for at, kept in state["state"].items():
        for value in kept.values():
            if value.ndim and value.shape != parameters[at].shape:
                raise ValueError(f"a weight of it is {tuple(value.shape)}, not {tuple(parameters[at].shape)}")


def hidden_matrices(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The hidden layers' matrices: what is neither looked up (embeddings), nor the output head, norms or biases."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    outer = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    outer |= {id(head.weight)} if head is not None else set()
    return [p for p in model.parameters() if p.requires_grad and p.ndim == 2 and id(p) not in outer]


def lr_share(step: int, steps: int, warmup: float, decay: float) -> float:
    """The share of the learning rate at `step` of `steps`: up over the first `warmup`, down over the last `decay`."""
    up = (step + 1) / max(1.0, warmup * steps)
    down = (steps - step) / max(1.0, decay * steps)
    return max(0.0, min(1.0, up, down))
