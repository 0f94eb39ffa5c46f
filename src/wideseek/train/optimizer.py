"""Optimisers and schedules.

    Muon for matrices, AdamW for the rest      a few million parameters, from scratch: several times fewer steps
    AdamW for everything                       fine-tuning

Learning rates follow one shape: linear warm-up, constant, linear decay to zero (`lr_share`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from wideseek.train.settings import OptimizerConfig


class Optimizers:
    """One or two optimisers as one. `set_share` scales every learning rate by the schedule's share."""

    def __init__(self, model: torch.nn.Module, config: OptimizerConfig) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.clip = config.clip
        matrices, others = _matrices(model) if config.name == "muon" else ([], self.parameters)
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(torch.optim.Muon(matrices, lr=config.matrix_lr, weight_decay=config.weight_decay))
        betas = (config.betas[0], config.betas[1])
        self._parts.append(
            torch.optim.AdamW(others, lr=config.lr, betas=betas, eps=config.eps, weight_decay=config.weight_decay)
        )
        self._rates = [group["lr"] for part in self._parts for group in part.param_groups]

    def step(self, share: float) -> float:
        """One update at `share` of the learning rates; returns the gradient's norm before clipping."""
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.clip))
        groups = [group for part in self._parts for group in part.param_groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate * share
        for part in self._parts:
            part.step()
        self.zero_grad()
        return norm

    def zero_grad(self) -> None:
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def load(self, state: Sequence[dict[str, Any]]) -> None:
        for part, one in zip(self._parts, state, strict=True):
            part.load_state_dict(one)


def _matrices(model: torch.nn.Module) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """The hidden layers' matrices, and all other parameters: embeddings, output head, norms, biases."""
    lookup = {
        id(module.weight)
        for module in (model.get_input_embeddings(), model.get_output_embeddings())  # type: ignore[operator]
        if module is not None
    }
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim == 2 and id(p) not in lookup]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in parameters if id(p) not in chosen]


def lr_share(step: int, steps: int, warmup: float, decay: float) -> float:
    """The share of the learning rate at `step` of `steps`: up over the first `warmup`, down over the last `decay`."""
    up = (step + 1) / max(1.0, warmup * steps)
    down = (steps - step) / max(1.0, decay * steps)
    return max(0.0, min(1.0, up, down))
