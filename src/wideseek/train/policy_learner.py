"""The learner of reinforcement learning: a step's samples in, one update of the weights out.

    samples  ->  passes of about `tokens_per_pass` tokens  ->  Forest (`prefix_tree`)  ->  hidden states at its
             places  ->  log-probabilities at the sampling temperature (`head`)  ->  surrogate (`loss`), backward
             ->  clip  ->  update

The loss is a plain sum over weighted tokens, so how a step is split changes nothing but rounding. All weights are
trained, or low-rank adapters of any causal language model (`lora.rank`); `weights()` are those of a plain checkpoint.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from wideseek.errors import BadInput
from wideseek.train.batch import PolicySample
from wideseek.train.head import AT_ONCE, head_weight, target_logprobs
from wideseek.train.learner import PASS_TOKENS
from wideseek.train.loss import Objective, surrogate
from wideseek.train.optimizer import Optimizers
from wideseek.train.prefix_tree import Forest, forest, passes
from wideseek.train.settings import LoraConfig, MarlConfig


@dataclass
class PolicyUpdate:
    """What one step did. Where `loss` or `norm` is not finite the weights are as they were.

    `tokens` were computed, for sequences of `merged` tokens; one sequence per turn would be `by_turn`. `ratio`, `kl`
    (of the sampler's distribution and the weights'), `reference_kl`, `entropy` and `clipped` are sums over `targets`.
    """

    loss: float = 0.0
    norm: float = 0.0
    targets: int = 0
    tokens: int = 0
    merged: int = 0
    by_turn: int = 0
    passes: int = 0
    dropped: int = 0
    ratio: float = 0.0
    largest_ratio: float = 0.0
    clipped: float = 0.0
    kl: float = 0.0
    reference_kl: float = 0.0
    entropy: float = 0.0

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.norm)

    @property
    def changed(self) -> bool:
        """Whether the weights are others now."""
        return self.finite and self.targets > 0

    def add(self, objective: Objective, entropy: float, targets: int) -> None:
        self.loss += float(objective.loss.detach())
        self.targets += targets
        self.entropy += entropy
        self.largest_ratio = max(self.largest_ratio, objective.largest)
        for name in ("ratio", "clipped", "kl", "reference_kl"):
            setattr(self, name, getattr(self, name) + getattr(objective, name))

    def figures(self) -> dict[str, float]:
        """For the log: means over targets, where there are any."""
        sums = {name: getattr(self, name) for name in ("ratio", "clipped", "kl", "reference_kl", "entropy")}
        means = {name: value / self.targets for name, value in sums.items()} if self.targets else {}
        return {
            "loss": self.loss,
            "gradient_norm": self.norm,
            **means,
            **({"largest_ratio": self.largest_ratio} if self.targets else {}),
            "trained_tokens": self.targets,
            "computed_tokens": self.tokens,
            "merged_tokens": self.merged,
            "by_turn_tokens": self.by_turn,
            "dropped_passes": self.dropped,
        }


class PolicyLearner:
    """A model that runs on packed rows (`model.load_model`), its optimisers, and the objective.

    `temperature` is the sampler's. With `loss.kl` the reference is the model as it is handed in, unless `reference` is
    given. `config` is read for loss, optimizer, lora, precision, passes and gradient checkpointing.
    """

    def __init__(
        self,
        model: Any,
        config: MarlConfig,
        temperature: float = 1.0,
        reference: torch.nn.Module | None = None,
    ) -> None:
        self.config, self._temperature = config, temperature
        self.device, self.dtype = next(model.parameters()).device, next(model.parameters()).dtype
        self._reference = reference
        if config.loss.kl and reference is None and not config.lora.rank:
            self._reference = copy.deepcopy(model).requires_grad_(False)
        self.model = with_adapters(model, config.lora) if config.lora.rank else model
        if config.gradient_checkpointing:
            _recompute(self.model)
        self.optimizers = Optimizers(self.model, config.optimizer)
        self.pass_tokens = config.tokens_per_pass or PASS_TOKENS.get(self.device.type, 2048)
        self.logits_at_once = AT_ONCE
        self._bf16 = config.precision == "bf16"

    def step(self, samples: Sequence[PolicySample], share: float = 1.0) -> PolicyUpdate:
        """One update at `share` of the learning rates; none without samples, nor where anything is not finite."""
        update = PolicyUpdate()
        if samples:
            self.accumulate(samples, update)
            update.norm = self.optimizers.step(share, update.loss)
        return update

    def accumulate(self, samples: Sequence[PolicySample], update: PolicyUpdate) -> None:
        """Add the samples' gradients to those of the parameters, and what there is to say to `update`."""
        shared, limit = self.config.share_prefixes, self.config.loss.drop_ratio
        update.merged += sum(map(len, samples))
        update.by_turn += sum(sample.tokens_by_turn for sample in samples)
        for part in passes(samples, self.pass_tokens, share=shared):
            row = forest(part, share=shared, dtype=torch.promote_types(self.dtype, torch.float32)).to(self.device)
            update.tokens += len(row)
            update.passes += 1
            objective, entropy = self.objective(row)
            if limit is not None and objective.ratio / len(row.labels) > limit:
                update.dropped += 1
                continue
            objective.loss.backward()  # type: ignore[no-untyped-call]
            update.add(objective, entropy, len(row.labels))

    def objective(self, row: Forest) -> tuple[Objective, float]:
        """The loss of a row, and the sum of its targets' entropies."""
        logprobs, entropy = self._logprobs(self.model, row)
        targets = row.targets
        if self.config.loss.kl:
            targets = replace(targets, reference=self._reference_logprobs(row))
        return surrogate(logprobs, targets, self.config.loss), float(entropy.sum())

    def _logprobs(self, model: Any, row: Forest) -> tuple[Tensor, Tensor]:
        """Of each target: its log-probability [N], and the entropy [N] where it was sampled."""
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            said = plain.base_model(
                input_ids=row.ids,
                position_ids=row.positions,
                segments=row.nodes,
                paths=row.paths if any(len(path) > 1 for path in row.paths) else None,
                targets=row.places,
                use_cache=False,
            )
        return target_logprobs(
            said.last_hidden_state[0, row.places],  # [P, E]
            head_weight(plain),
            row.of,
            row.labels,
            temperature=self._temperature,
            dtype=row.targets.weights.dtype,
            compute=torch.bfloat16 if self._bf16 else self.dtype,
            at_once=self.logits_at_once,
        )

    @torch.no_grad()
    def _reference_logprobs(self, row: Forest) -> Tensor:
        frozen = self.model.disable_adapter() if self._reference is None else nullcontext()
        with frozen:
            return self._logprobs(self._reference or self.model, row)[0]

    # ----------------------------------------------------------------------------------------------------- weights

    def weights(self) -> dict[str, Tensor]:
        """All weights by the names of a plain checkpoint, adapters added in. Without adapters they are no copy."""
        if not self.config.lora.rank:
            return {name: tensor.detach() for name, tensor in self.model.state_dict().items()}
        return merged_weights(self.model)

    def state(self) -> dict[str, Any]:
        """What goes on beside the weights: optimisers, and adapters where there are any."""
        return {"optimizers": self.optimizers.state(), "adapters": self._adapters()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. Raises `ValueError` where it is of other optimisers or of other weights."""
        adapters = self._adapters()
        if {k: v.shape for k, v in adapters.items()} != {k: v.shape for k, v in state["adapters"].items()}:
            raise ValueError("its adapters are others")
        with torch.no_grad():
            for name, tensor in adapters.items():
                tensor.copy_(state["adapters"][name])
        self.optimizers.load(state["optimizers"])

    def _adapters(self) -> dict[str, Tensor]:
        if not self.config.lora.rank:
            return {}
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def save(self, folder: Any) -> None:
        """Weights and configuration as plain `transformers` lays them out."""
        plain = self.model.get_base_model() if self.config.lora.rank else self.model
        plain.save_pretrained(folder, state_dict=self.weights())


def with_adapters(model: Any, config: LoraConfig) -> Any:
    """The model with fresh low-rank adapters (Hu et al., arXiv 2106.09685), all else frozen. Raises `BadInput`."""
    try:
        import peft
    except ImportError as error:
        raise BadInput("lora.rank: needs the peft package: pip install 'wideseek[train]'") from error
    settings = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=config.targets, lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    try:
        return peft.get_peft_model(model, settings)
    except ValueError as error:
        raise BadInput(f"lora.targets: {' '.join(str(error).split())[:200]}") from error


@torch.no_grad()
def merged_weights(model: Any) -> dict[str, Tensor]:
    """The weights of a model with adapters: W + α/r B A where it has them."""
    plain = model.get_base_model()
    deltas = {
        name: module.get_delta_weight(module.active_adapters[0])
        for name, module in plain.named_modules()
        if hasattr(module, "get_delta_weight")
    }
    merged = {}
    for name, tensor in plain.state_dict().items():
        if ".lora_" in name:
            continue
        owner, _, kind = name.replace(".base_layer.", ".").rpartition(".")
        merged[f"{owner}.{kind}"] = tensor + deltas[owner] if kind == "weight" and owner in deltas else tensor
    return merged


def _recompute(model: Any) -> None:
    """Activations are computed again on the way back. `transformers` does so in training mode only: without dropout."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
