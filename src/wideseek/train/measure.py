"""How well a model says what the held-out agents said: loss, exact tokens, exact turns.

Every token is predicted from the true ones before it. A turn is exact where the most likely token is right at each of
its places, the token that ends it included: greedily, the model would have said just that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from wideseek.train.learner import Learner
from wideseek.train.packing import pack, portions
from wideseek.train.samples import Sample


@torch.no_grad()
def measure(learner: Learner, samples: Sequence[Sample]) -> dict[str, float]:
    """`held_out_loss` (mean over tokens), `held_out_tokens` and `held_out_turns` (shares that are exact), and the share
    of exact turns by role, `held_out_turns_ROLE`."""
    loss, right, targets = 0.0, 0, 0
    turns: dict[str, list[bool]] = defaultdict(list)
    for part in portions(samples, learner.pass_tokens):
        packed = pack(part).to(learner.device)
        logits = learner.logits(packed)
        hits = logits.argmax(-1) == packed.labels
        loss += float(F.cross_entropy(logits, packed.labels, reduction="sum"))
        right, targets = right + int(hits.sum()), targets + len(hits)
        roles = _roles(part)
        exact = torch.ones(len(roles), dtype=torch.bool, device=hits.device)
        exact[packed.turns[~hits]] = False
        for role, hit in zip(roles, exact.tolist(), strict=True):
            turns[role].append(hit)
    whole = [hit for hits in turns.values() for hit in hits]
    return {
        "held_out_loss": loss / max(1, targets),
        "held_out_tokens": right / max(1, targets),
        "held_out_turns": sum(whole) / max(1, len(whole)),
        **{f"held_out_turns_{role}": sum(hits) / len(hits) for role, hits in sorted(turns.items())},
    }


def _roles(samples: Sequence[Sample]) -> list[str]:
    """The role of each targeted turn, in the order in which a pack numbers them."""
    return [sample.role for sample in samples for _ in np.unique(sample.turns[sample.targeted])]
