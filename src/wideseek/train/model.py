"""The model that is trained: a causal language model of `transformers`, on packed rows.

model_folder(name)          where a model's weights are
load_model(folder)          weights, in fp32 whatever they are stored in; proved to run on packed rows
token_logits(model, pack)   forward pass; logits at the targets only
save_model(model, ...)      a folder that plain `transformers` loads

Models stay in evaluation mode: what is learnt is what is sampled, so no dropout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from wideseek.assets import bundled_model
from wideseek.config import LOCAL
from wideseek.errors import BadInput
from wideseek.policy.names import BUNDLED
from wideseek.servers import BY_IDS
from wideseek.train.attention import PACKED, register
from wideseek.train.packing import Pack

_CAUSAL = ("ForCausalLM", "LMHeadModel")
_RMS_NORMS = {"Qwen3RMSNorm", "Qwen2RMSNorm", "LlamaRMSNorm", "MistralRMSNorm"}


def model_folder(name: str) -> str:
    """Where a model's weights are: a folder or hub name, also as `wideseek ask` takes it.

    Raises `BadInput` for what only answers (a server, the expert) and for a path that is not there.
    """
    if name in BUNDLED:
        return str(bundled_model(name))
    if name == "expert" or name.startswith((BY_IDS, "http://", "https://")):
        raise BadInput(f"model {name!r}: cannot be trained: give a folder with weights, a hub name, or nano-base")
    folder = name.removeprefix(LOCAL)
    if (folder[:1] in "/.~" or folder.count("/") != 1) and not Path(folder).is_dir() and "/" in folder:
        raise BadInput(f"model {name!r}: no such folder: give one with weights, a hub name, or nano-base")
    return folder


def weights_digest(folder: str) -> str:
    """Tells whether the weights in a folder are the same as before; empty for a hub name."""
    digest = hashlib.blake2b()
    files = sorted(Path(folder).glob("*.safetensors"))
    for path in files:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()[:16] if files else ""


def load_model(name: str | Path, device: torch.device | None = None) -> torch.nn.Module:
    """A causal language model from a folder or a hub name, ready for packed rows.

    Raises `BadInput` in one line for a folder without weights or without some of them, another kind of model, weights
    that hold NaN, and an architecture that does not run on packed rows.
    """
    model = _loaded(str(name))
    for key, weight in model.named_parameters():
        weight.data = (
            weight.data.clone()
        )  # out of the file, where it may begin at any byte: products round otherwise then
        if not torch.isfinite(weight).all():
            raise BadInput(f"{name}: {key} holds NaN or infinity: the weights are damaged, take an earlier checkpoint")
    prepare(model, str(name))
    return model.to(device or torch.device("cpu"))


def _loaded(name: str) -> torch.nn.Module:
    from transformers import AutoConfig, AutoModelForCausalLM

    with silent():
        try:
            config = AutoConfig.from_pretrained(name)
        except Exception as error:  # whatever a broken file raises
            raise BadInput(f"{name}: no model can be loaded from there: {_line(error)}") from error
        kinds = getattr(config, "architectures", None) or ["ForCausalLM"]
        if not any(kind.endswith(_CAUSAL) for kind in kinds):
            raise BadInput(f"{name}: is a {kinds[0]}, which is no causal language model: take one that continues text")
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                name, config=config, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:  # OSError, SafetensorError, RuntimeError, ...
            raise BadInput(f"{name}: its weights cannot be loaded: {_line(error)}") from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise BadInput(f"{name}: {len(missing)} weights are missing, {missing[0]} first: the checkpoint is not whole")
    return model  # type: ignore[no-any-return]


def _line(error: Exception) -> str:
    return " ".join(str(error).strip().partition("\n")[0].split())[:300] or type(error).__name__


# ------------------------------------------------------------------------------------------------------- packed rows


def prepare(model: Any, name: str = "model") -> None:
    """Let the model run on packed rows, with fused norms and no more work than the targets need; proved on two short
    samples.

    Raises `BadInput` for an architecture that has other ways from token to token than attention (state-space layers,
    convolutions), or an attention of its own.
    """
    register()
    one, two = torch.arange(5) % model.config.vocab_size, torch.arange(7, 0, -1) % model.config.vocab_size
    positions, targets = torch.cat([torch.arange(5), torch.arange(7)]), torch.arange(0, 12, 2)
    both = Pack(torch.cat([one, two])[None], positions[None], [5, 7], targets, *[torch.zeros_like(targets)] * 2)
    try:
        with torch.no_grad():
            alone = torch.cat([model(input_ids=ids[None], use_cache=False).logits[0] for ids in (one, two)]).float()
            model.set_attn_implementation(PACKED)
            _fuse_norms(model)
            _spare_last_layer(model)
            packed = token_logits(model, both)
        differs = not torch.allclose(alone[targets], packed, rtol=1e-3, atol=1e-3 * float(alone.std()))
        why = "other ways from token to token than attention"
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        differs, why = True, _line(error)
    if differs:
        raise BadInput(f"{name}: a {type(model).__name__} does not run on packed rows ({why}): train a Qwen3 or Llama")


def _fuse_norms(model: torch.nn.Module) -> None:
    """Let torch compute root-mean-square norms in one kernel; `transformers` takes six for the same."""
    for module in model.modules():
        if type(module).__name__ in _RMS_NORMS:
            module.forward = partial(_rms_norm, module)


def _rms_norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.rms_norm(hidden, hidden.shape[-1:], norm.weight.to(hidden.dtype), norm.variance_epsilon)


def _spare_last_layer(model: torch.nn.Module) -> None:
    """Let the last layer's feed-forward compute the targets only: after attention, no token sees another."""
    layers = getattr(getattr(model, "base_model", None), "layers", None)
    if layers and hasattr(layers[-1], "self_attn") and hasattr(layers[-1], "mlp"):
        last, running = layers[-1], _Running()
        last.self_attn.forward = partial(_attend, last.self_attn.forward, running)
        last.mlp.forward = partial(_feed_forward, last.mlp.forward, running)


@dataclass
class _Running:
    """The targets of a pass, from the last layer's attention, which is told, to its feed-forward, which is not.

    Inside the layer, so that it holds too where activations are computed again.
    """

    targets: torch.Tensor | None = None


def _attend(forward: Callable[..., Any], running: _Running, *args: Any, **kwargs: Any) -> Any:
    running.targets = kwargs.get("targets")
    return forward(*args, **kwargs)


def _feed_forward(forward: Callable[[torch.Tensor], torch.Tensor], running: _Running, hidden: torch.Tensor) -> Any:
    targets, running.targets = running.targets, None
    if targets is None:
        return forward(hidden)
    said = forward(hidden[:, targets])
    return said.new_zeros(hidden.shape).index_copy(1, targets, said)


def token_logits(model: torch.nn.Module, pack: Pack) -> torch.Tensor:
    """The logits [N, V] in fp32 with which the model predicts the pack's labels."""
    said = model(
        input_ids=pack.ids,
        position_ids=pack.positions,
        segments=pack.segments,
        targets=pack.targets,
        logits_to_keep=pack.targets,
        use_cache=False,
    )
    logits: torch.Tensor = said.logits[0].float()
    return logits


# ------------------------------------------------------------------------------------------------------------ folders


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights, configuration and tokenizer, as `transformers` lays them out."""
    with silent():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def architecture(name: str | Path) -> dict[str, Any]:
    """What the configuration of a model says about its shape. Empty where there is none."""
    from transformers import AutoConfig

    passing = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}
    try:
        config = AutoConfig.from_pretrained(str(name)).to_dict()
    except Exception:  # moved away, or the hub is out of reach
        return {}
    return {key: value for key, value in config.items() if key not in passing and not key.endswith("_token_id")}


@contextmanager
def silent() -> Iterator[None]:
    """No progress bars and no advice of `transformers`: what is wrong is an error, and progress is ours."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
