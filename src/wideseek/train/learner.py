"""The learner: samples in, one update of the weights out.

    step's samples  ->  passes of about `pass_tokens` tokens  ->  Pack  ->  logits at the targets
                    ->  sum of cross-entropies / targets of the step, backward  ->  clip  ->  update

Gradients add up over the passes of a step, so how a step is split changes nothing but rounding. The passes bound
memory, and on a CPU they are faster for it: what a short pass computes stays in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from wideseek.train.model import token_logits
from wideseek.train.optimizer import Optimizers
from wideseek.train.packing import Pack, pack, portions
from wideseek.train.samples import Sample
from wideseek.train.settings import OptimizerConfig, Precision

PASS_TOKENS = {"cpu": 2048, "cuda": 16384}


@dataclass(frozen=True)
class Update:
    """What one step did: mean loss over its `targets`, `tokens` seen, the gradient's `norm` before clipping.

    Where one of the two figures is not finite the weights are as they were.
    """

    loss: float
    targets: int
    tokens: int
    norm: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class Learner:
    """A model and its optimisers. Weights are fp32; `precision` is that of the forward and backward pass."""

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: OptimizerConfig,
        precision: Precision = "fp32",
        pass_tokens: int | None = None,
    ) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.optimizers = Optimizers(model, optimizer)
        self.pass_tokens = pass_tokens or PASS_TOKENS.get(self.device.type, 2048)
        self._bf16 = precision == "bf16"

    def step(self, samples: Sequence[Sample], share: float) -> Update:
        """One update at `share` of the learning rates; none where loss or gradient are not finite."""
        packs = [pack(part) for part in portions(samples, self.pass_tokens)]
        targets = sum(len(packed.labels) for packed in packs)
        loss = torch.zeros((), device=self.device)
        for packed in packs:
            part = self.loss(packed.to(self.device)) / max(1, targets)
            part.backward()  # type: ignore[no-untyped-call]
            loss += part.detach()
        norm = self.optimizers.step(share, float(loss))
        return Update(float(loss), targets, sum(map(len, samples)), norm)

    def loss(self, packed: Pack) -> torch.Tensor:
        """The sum of the cross-entropies at the pack's targets."""
        return F.cross_entropy(self.logits(packed), packed.labels, reduction="sum")

    def logits(self, packed: Pack) -> torch.Tensor:
        """The logits [N, V] in fp32 at the pack's targets."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            return token_logits(self.model, packed)
