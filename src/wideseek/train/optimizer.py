"""Optimisers and schedules.

    Muon for matrices, AdamW for the rest      a few million parameters, from scratch: several times fewer steps
    AdamW for everything                       fine-tuning

Weight decay is for matrices that multiply: norms, biases and embeddings (with a head that is tied to them) are spared.
On a GPU AdamW is fused: the other forms hold several copies of the weights for a moment.

Learning rates follow one shape: linear warm-up, constant, linear decay to zero (`lr_share`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from wideseek.errors import BadInput
from wideseek.train.memory import LEARNING, first_line
from wideseek.train.settings import OptimizerConfig

State = list[dict[str, Any]]


class HalfUpdated(BadInput):
    """An update failed midway: the weights in memory are neither the old ones nor the new ones."""


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
        self._others = others
        if others:
            spared = {id(p) for p in others if p.ndim < 2} | _embeddings(model)
            kinds = [
                ([p for p in others if (id(p) in spared) == spare], 0.0 if spare else decay) for spare in (False, True)
            ]
            groups = [{"params": params, "weight_decay": share} for params, share in kinds if params]
            fused = all(p.is_cuda for p in others)
            self._parts.append(
                torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused or None)
            )
        self._rates = [group["lr"] for group in self._groups]

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self._parts for group in part.param_groups]

    def step(self, share: float, loss: float = 0.0) -> float:
        """One update at `share` of the learning rates; returns the gradient's norm before clipping.

        Where that or the `loss` is not finite nothing is updated. Gradients are gone afterwards. Raises `HalfUpdated`
        where it fails midway.
        """
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self._clip))
        if math.isfinite(norm) and math.isfinite(loss):
            for group, rate in zip(self._groups, self._rates, strict=True):
                group["lr"] = rate * share
            try:
                for part in self._parts:
                    part.step()
            except Exception as error:
                raise HalfUpdated(
                    f"the update of the weights failed midway ({first_line(error)}): go on from the last checkpoint "
                    f"with --resume; where memory ran out, {LEARNING}"
                ) from error
        self.drop()
        return norm

    def drop(self) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state(self) -> State:
        return [part.state_dict() for part in self._parts]

    def load(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on from `state`, at this configuration's learning rates. Raises `ValueError` where it is of other
        optimisers or of other weights."""
        for part, one in zip(self._parts, state, strict=True):
            if isinstance(part, torch.optim.AdamW):
                one = self._regrouped(part, one)
            settings = [{k: v for k, v in group.items() if k != "params"} for group in part.param_groups]
            _check_shapes(part, one)
            part.load_state_dict(one)
            for group, ours in zip(part.param_groups, settings, strict=True):
                group.update(ours)

    def _regrouped(self, adamw: torch.optim.AdamW, state: dict[str, Any]) -> dict[str, Any]:
        """The state of one group of all weights, as earlier versions wrote it, in the order of the groups of today."""
        before, now = state["param_groups"], adamw.state_dict()["param_groups"]
        ordered = [p for group in adamw.param_groups for p in group["params"]]
        if len(before) != 1 or len(now) == 1 or len(before[0]["params"]) != len(ordered):
            return state
        place = {id(p): at for at, p in enumerate(self._others)}
        moved = {at: state["state"][place[id(p)]] for at, p in enumerate(ordered) if place[id(p)] in state["state"]}
        return {"state": moved, "param_groups": now}


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
    outer = _embeddings(model) | ({id(head.weight)} if head is not None else set())
    return [p for p in model.parameters() if p.requires_grad and p.ndim == 2 and id(p) not in outer]


def _embeddings(model: torch.nn.Module) -> set[int]:
    """The ids of the tables that tokens are looked up in."""
    return {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}


def lr_share(step: int, steps: int, warmup: float, decay: float) -> float:
    """The share of the learning rate at `step` of `steps`: up over the first `warmup`, down over the last `decay`."""
    up = (step + 1) / max(1.0, warmup * steps)
    down = (steps - step) / max(1.0, decay * steps)
    return max(0.0, min(1.0, up, down))
