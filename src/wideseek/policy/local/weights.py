"""A checkpoint's weights, read and checked, with what is multiplied together stored together.

read(model)                     folder or hub name -> the configuration and the tensors, by their names there
Shape.of(config)                the numbers that the engine needs; refuses what it does not compute
Weights.of(shape, tensors)      fused: q, k and v in one matrix, gate and up in one
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import torch
from torch import Tensor

from wideseek.concurrency import LOADING
from wideseek.errors import BadInput, as_bad_input

Dtype = Literal["auto", "float32", "bfloat16"]
State = Mapping[str, Tensor]

_CAUSAL = "Qwen3ForCausalLM"


def read(model: str | Path) -> tuple[Any, dict[str, Tensor]]:
    """The configuration and the tensors of a folder or hub name. Raises `BadInput` for what is no Qwen3 causal LM."""
    with LOADING:
        import transformers

        config = _configuration(model)
        verbosity = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            with as_bad_input(f"{model}: its weights cannot be loaded"):
                loaded: Any = transformers.Qwen3ForCausalLM.from_pretrained(str(model), output_loading_info=True)
        finally:
            transformers.logging.set_verbosity(verbosity)
            transformers.logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    found, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise BadInput(f"{model}: {len(missing)} weights are missing, {missing[0]} first: the checkpoint is not whole")
    return config, dict(found.state_dict())


def _configuration(model: str | Path) -> Any:
    """The configuration, of a shape that the engine computes."""
    from transformers import AutoConfig

    with as_bad_input(f"{model}: no model can be loaded from there"):
        config = AutoConfig.from_pretrained(str(model))
        kind = (getattr(config, "architectures", None) or [_CAUSAL])[0]
    if config.model_type != "qwen3" or kind != _CAUSAL:
        raise BadInput(
            f"{model}: is a {kind if config.model_type == 'qwen3' else config.model_type} model; the local engine runs "
            f"{_CAUSAL} only: serve others by vLLM or SGLang"
        )
    _check_files(Path(model), Shape.of(config, str(model)))
    return config


def _check_files(folder: Path, shape: Shape) -> None:
    """That the files of a folder hold tensors of the configuration's sizes, before memory is taken for those sizes."""
    from safetensors import safe_open

    wanted = dict(shape.tensors())
    for path in sorted(folder.glob("*.safetensors")):
        with as_bad_input(f"{path}: its weights cannot be loaded"), safe_open(path, framework="pt") as file:
            for name in wanted.keys() & set(file.keys()):
                found = tuple(file.get_slice(name).get_shape())
                if found != wanted[name]:
                    raise BadInput(f"{folder}: {name} is {found}, the configuration says {wanted[name]}")


_Size = Annotated[int, msgspec.Meta(ge=1, le=2**24)]
_Above0 = Annotated[float, msgspec.Meta(gt=0)]


class Shape(msgspec.Struct, frozen=True):
    """The numbers of a model that its computation needs."""

    layers: Annotated[int, msgspec.Meta(ge=1, le=1_000)]
    hidden: _Size
    heads: _Size
    kv_heads: _Size
    head_dim: Annotated[int, msgspec.Meta(ge=2, le=2**24, multiple_of=2)]
    ff: _Size
    vocab: _Size
    eps: _Above0
    theta: _Above0
    context: _Size
    tied: bool
    bias: bool

    @classmethod
    def of(cls, config: Any, name: str) -> Shape:
        """Raises `BadInput` for variants that the engine does not compute, and for numbers that are none."""
        with as_bad_input(f"{name}: its configuration cannot be used"):
            shape = cls._said(config, name)
        if shape.heads % shape.kv_heads:
            raise BadInput(f"{name}: {shape.heads} heads cannot share {shape.kv_heads} key heads: mend its config.json")
        return shape

    @classmethod
    def _said(cls, config: Any, name: str) -> Shape:
        rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise BadInput(f"{name}: rope type {kind!r} is not supported by the local engine: use a server")
        if any(layer != "full_attention" for layer in getattr(config, "layer_types", None) or ()):
            raise BadInput(f"{name}: sliding-window attention is not supported by the local engine: use a server")
        if config.hidden_act != "silu":
            raise BadInput(f"{name}: activation {config.hidden_act!r} is not supported by the local engine")
        said = {
            "layers": config.num_hidden_layers,
            "hidden": config.hidden_size,
            "heads": config.num_attention_heads,
            "kv_heads": config.num_key_value_heads,
            "head_dim": getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            "ff": config.intermediate_size,
            "vocab": config.vocab_size,
            "eps": config.rms_norm_eps,
            "theta": rope.get("rope_theta") or config.rope_theta,
            "context": config.max_position_embeddings,
            "tied": bool(config.tie_word_embeddings),
            "bias": bool(config.attention_bias),
        }
        return msgspec.convert(said, cls)

    def kv_bytes(self, dtype: torch.dtype) -> int:
        """Bytes that one token's keys and values take, over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype.itemsize

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and size of every tensor that a checkpoint of this shape has to hold."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        yield "model.embed_tokens.weight", (self.vocab, self.hidden)
        yield "model.norm.weight", (self.hidden,)
        if not self.tied:
            yield "lm_head.weight", (self.vocab, self.hidden)
        for layer in range(self.layers):
            at = f"model.layers.{layer}."
            for name, size in (("q", (q, self.hidden)), ("k", (kv, self.hidden)), ("v", (kv, self.hidden)),
                               ("o", (self.hidden, q))):  # fmt: skip
                yield f"{at}self_attn.{name}_proj.weight", size
                if self.bias:
                    yield f"{at}self_attn.{name}_proj.bias", size[:1]
            yield f"{at}self_attn.q_norm.weight", (self.head_dim,)
            yield f"{at}self_attn.k_norm.weight", (self.head_dim,)
            yield f"{at}mlp.gate_proj.weight", (self.ff, self.hidden)
            yield f"{at}mlp.up_proj.weight", (self.ff, self.hidden)
            yield f"{at}mlp.down_proj.weight", (self.hidden, self.ff)
            yield f"{at}input_layernorm.weight", (self.hidden,)
            yield f"{at}post_attention_layernorm.weight", (self.hidden,)


@dataclass(frozen=True)
class Layer:
    """One layer. H, K: heads of queries and of keys; D: size of a head; F: intermediate; E: hidden."""

    norm: Tensor  # [E]
    qkv: Tensor  # [(H+2K)·D, E]
    qkv_bias: Tensor | None
    qk_norm: Tensor  # [H+K, D]: q_norm (times the scale of attention) H times, then k_norm K times
    out: Tensor  # [E, H·D]
    out_bias: Tensor | None
    mlp_norm: Tensor  # [E]
    gate_up: Tensor  # [2F, E]
    down: Tensor  # [E, F]


@dataclass(frozen=True)
class Weights:
    """All weights of a model, in the dtype and on the device where they are used."""

    embed: Tensor  # [V, E]
    head: Tensor  # [V, E]; the embedding itself where they are tied
    norm: Tensor  # [E]
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, shape: Shape, state: State, dtype: torch.dtype, device: torch.device, name: str) -> Weights:
        """A copy of `state`, fused. Raises `BadInput` for a missing, misshapen or non-finite tensor."""
        check(shape, state, name)
        with torch.no_grad():

            def get(*names: str) -> Tensor:
                return torch.cat([state[name].detach() for name in names]).to(device, dtype, copy=True).contiguous()

            embed = get("model.embed_tokens.weight")
            return cls(
                embed=embed,
                head=embed if shape.tied else get("lm_head.weight"),
                norm=get("model.norm.weight"),
                layers=tuple(_layer(shape, f"model.layers.{i}.", get) for i in range(shape.layers)),
            )


def check(shape: Shape, state: State, name: str) -> None:
    """Raises `BadInput` for a missing, misshapen or non-finite tensor."""
    for key, size in shape.tensors():
        if key not in state:
            raise BadInput(f"{name}: the weights lack {key}: give the state_dict of a {_CAUSAL} of this configuration")
        tensor = state[key]
        if tuple(tensor.shape) != size:
            raise BadInput(f"{name}: {key} is {tuple(tensor.shape)}, the configuration says {size}")
        if not torch.isfinite(tensor).all():
            raise BadInput(f"{name}: {key} holds NaN or infinity: go back to an earlier checkpoint")


def _layer(shape: Shape, at: str, get: Any) -> Layer:
    q, k, v, o = (f"{at}self_attn.{part}_proj" for part in "qkvo")
    norms = [get(f"{at}self_attn.q_norm.weight").float() * shape.head_dim**-0.5] * shape.heads
    norms += [get(f"{at}self_attn.k_norm.weight").float()] * shape.kv_heads
    gate = get(f"{at}mlp.gate_proj.weight")
    return Layer(
        norm=get(f"{at}input_layernorm.weight"),
        qkv=get(f"{q}.weight", f"{k}.weight", f"{v}.weight"),
        qkv_bias=get(f"{q}.bias", f"{k}.bias", f"{v}.bias") if shape.bias else None,
        qk_norm=torch.stack(norms).to(gate.dtype),
        out=get(f"{o}.weight"),
        out_bias=get(f"{o}.bias") if shape.bias else None,
        mlp_norm=get(f"{at}post_attention_layernorm.weight"),
        gate_up=get(f"{at}mlp.gate_proj.weight", f"{at}mlp.up_proj.weight"),
        down=get(f"{at}mlp.down_proj.weight"),
    )
