"""The model that is trained: any causal language model of `transformers`, on packed rows.

load_model(folder)          weights, in fp32 whatever they are stored in
token_logits(model, pack)   forward pass; logits at the targets only
save_model(model, ...)      a folder that plain `transformers` loads
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from wideseek.errors import BadInput
from wideseek.train.attention import PACKED, register
from wideseek.train.packing import Pack


def load_model(name: str | Path, device: torch.device | None = None) -> torch.nn.Module:
    """A causal language model from a folder or a hub name, ready for packed rows.

    Raises `BadInput` in one line for a folder without weights, another kind of model, and weights that hold NaN.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    register()
    try:
        config = AutoConfig.from_pretrained(str(name))
        model: Any = AutoModelForCausalLM.from_pretrained(str(name), config=config, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{name}: no causal language model can be loaded from there: {_first_line(error)}") from error
    model.set_attn_implementation(PACKED)
    _fuse_norms(model)
    for key, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise BadInput(f"{name}: {key} holds NaN or infinity: the weights are damaged, take an earlier checkpoint")
    return model.to(device or torch.device("cpu"))  # type: ignore[no-any-return]


_RMS_NORMS = {"Qwen3RMSNorm", "Qwen2RMSNorm", "LlamaRMSNorm", "MistralRMSNorm"}


def _fuse_norms(model: torch.nn.Module) -> None:
    """Let torch compute root-mean-square norms in one kernel; `transformers` takes six for the same."""
    for module in model.modules():
        if type(module).__name__ in _RMS_NORMS:
            module.forward = partial(_rms_norm, module)  # type: ignore[method-assign]


def _rms_norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.rms_norm(hidden, hidden.shape[-1:], norm.weight.to(hidden.dtype), norm.variance_epsilon)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def token_logits(model: torch.nn.Module, pack: Pack) -> torch.Tensor:
    """The logits [N, V] in fp32 with which the model predicts the pack's labels."""
    said = model(
        input_ids=pack.ids,
        position_ids=pack.positions,
        segments=pack.segments,
        logits_to_keep=pack.targets,
        use_cache=False,
    )
    logits: torch.Tensor = said.logits[0].float()
    return logits


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights, configuration and tokenizer, as `transformers` lays them out."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
