"""What only a GPU can show: engine, attention, learner and one GRPO step on the shapes of Qwen3-4B, random weights.

    python scripts/gpu_check.py --out gpu.json                   on a machine with a GPU (minutes)
    python scripts/gpu_check.py --size tiny --device cpu         the same steps on a CPU, to try the script

Each part runs by itself and is written to the file at once, so that a part that fails, or a run that is cut off, loses
nothing of the others. Every figure stands beside its bound: matrix products at the speed that this device reaches for
one large product, or memory at the speed of one large copy, both measured first.

* **attention**: the packed attention, forward and backward, against fp32 on the CPU; its time against its products.
* **engine**: what it samples, checked token by token by a plain forward pass in fp32 on the CPU; tokens/s of prompts
  and of new tokens, against the products of prompts and the reading of the weights.
* **learner**: loss and gradients of a model of few layers against fp32 on the CPU; then tokens/s and memory of a pass
  over the whole model.
* **grpo**: groups are sampled by the engine, learnt from, and the new weights are loaded: seconds and memory of each.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from wideseek.errors import WideseekError
from wideseek.files import write_whole
from wideseek.policy.local import LocalEngine
from wideseek.policy.token import Request, Sampled
from wideseek.train.attention import packed_attention
from wideseek.train.batch import PolicySample
from wideseek.train.model import prepare
from wideseek.train.policy_learner import PolicyLearner, PolicyUpdate
from wideseek.train.settings import MarlConfig

Figures = dict[str, float | int | str]


class Size(NamedTuple):
    """The model's shapes, and how much each part computes."""

    config: dict[str, int]
    square: int  # rows and columns of the product whose speed is the bound
    copied: int  # bytes of the copy whose speed is the bound
    segments: list[int]  # tokens of each sample in the attention part
    prompts: int
    prompt: int
    new: int
    few_layers: int  # of the model that the CPU computes, too


SIZES = {
    "4b": Size(
        {
            "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
            "head_dim": 128, "intermediate_size": 9728, "vocab_size": 151_936, "max_position_embeddings": 32_768,
        },
        square=8192, copied=2**30, segments=[8000, 3000, 1000], prompts=64, prompt=1024, new=128, few_layers=2,
    ),
    "tiny": Size(
        {
            "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
            "head_dim": 16, "intermediate_size": 128, "vocab_size": 512, "max_position_embeddings": 512,
        },
        square=256, copied=2**20, segments=[80, 30, 10], prompts=4, prompt=24, new=8, few_layers=2,
    ),
}  # fmt: skip


class Check:
    """One run: the device, the sizes, and the bounds that were measured on it."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size, self.device = size, device
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.flops = 0.0  # a second
        self.bytes = 0.0  # a second

    # ------------------------------------------------------------------------------------------------------- the parts

    def bounds(self) -> Figures:
        side = self.size.square
        a, b = (torch.randn(side, side, device=self.device, dtype=self.dtype) for _ in range(2))
        self.flops = 2 * side**3 / self._seconds(lambda: a @ b)
        source = torch.empty(self.size.copied, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        self.bytes = 2 * self.size.copied / self._seconds(lambda: target.copy_(source))
        return {"product_tflops": self.flops / 1e12, "copy_gb_per_s": self.bytes / 1e9}

    def attention(self) -> Figures:
        shape, sizes = self.size.config, self.size.segments
        heads, kv, width = shape["num_attention_heads"], shape["num_key_value_heads"], shape["head_dim"]
        generator = torch.Generator().manual_seed(0)
        inputs = [torch.randn(1, n, sum(sizes), width, generator=generator) for n in (heads, kv, kv)]
        slope = torch.randn(1, sum(sizes), heads, width, generator=generator)

        def run(device: torch.device, dtype: torch.dtype) -> list[torch.Tensor]:
            leaves = [one.to(device, dtype).requires_grad_() for one in inputs]
            seen, _ = packed_attention(torch.nn.Identity(), *leaves, None, segments=sizes)
            grads = torch.autograd.grad(seen, leaves, slope.to(device, dtype))
            return [seen.detach(), *grads]

        ours, exact = run(self.device, self.dtype), run(torch.device("cpu"), torch.float32)
        self._reset()
        seconds = self._seconds(lambda: run(self.device, self.dtype))
        products = 7 * sum(n * n for n in sizes) * heads * width  # causal; 2 products forward, 5 on the way back
        return {
            "largest_difference": max(_difference(a, b) for a, b in zip(ours, exact, strict=True)),
            "tokens": sum(sizes),
            "seconds": seconds,
            "of_bound": products / self.flops / seconds,
            **self._memory(),
        }

    def engine(self) -> Figures:
        size, shape = self.size, self.size.config
        model = self._model(shape["num_hidden_layers"], torch.device("cpu"))
        engine = self._engine(model)
        try:
            prompts = [self._prompt(number) for number in range(size.prompts)]
            first = self._sample(engine, prompts[:2])
            difference = max(
                float(np.abs(_logprobs(model, ids, one.ids) - one.logprobs).max())
                for ids, one in zip(prompts[:2], first, strict=True)
            )
            self._reset()
            prefill = self._once(lambda: self._sample(engine, prompts, new=1))
            whole = self._once(lambda: self._sample(engine, [[*ids[:-1], 1] for ids in prompts]))
            memory = self._memory()
        finally:
            asyncio.run(engine.close())
        weights = _parameters(model)
        tokens, steps = size.prompts * size.prompt, size.new
        products = 2 * weights * (tokens + size.prompts * size.new) / self.flops
        reading = steps * weights * self.dtype.itemsize / self.bytes
        return {
            "largest_logprob_difference": difference,
            "prompt_tokens_per_s": tokens / prefill,
            "new_tokens_per_s_with_prompts": size.prompts * size.new / whole,
            "prompt_of_bound": 2 * weights * tokens / self.flops / prefill,
            "whole_of_bound": max(products, reading) / whole,
            **memory,
        }

    def learner(self) -> Figures:
        samples = [self._random(number) for number in range(min(8, self.size.prompts))]
        few = {
            place: self._gradients(samples[:2], torch.device(place), self.size.few_layers)
            for place in {"cpu", self.device.type}
        }
        ours, exact = few[self.device.type], few["cpu"]
        learner = self._learner(self._model(self.size.config["num_hidden_layers"], self.device))
        learner.step(samples)
        self._reset()
        seconds = self._once(lambda: learner.accumulate(samples, PolicyUpdate()))
        tokens = sum(map(len, samples))
        products = 8 * _parameters(learner.model) * tokens  # forward twice (recomputed), backward as much as two
        return {
            "loss_difference": abs(ours[0] - exact[0]),
            "gradient_difference": _difference(ours[1], exact[1]),
            "tokens": tokens,
            "tokens_per_s": tokens / seconds,
            "of_bound": products / self.flops / seconds,
            **self._memory(),
        }

    def grpo(self) -> Figures:
        """Two groups; a rollout is one agent of one turn, and its reward the share of even tokens in it."""
        model = self._model(self.size.config["num_hidden_layers"], self.device)
        learner, engine = self._learner(model), self._engine(model)
        group = max(2, self.size.prompts // 8)
        prompts = [self._prompt(number) for number in range(2) for _ in range(group)]
        try:
            self._reset()
            start = time.perf_counter()
            said = self._sample(engine, prompts)
            sampled = self._synced()
            learner_samples = _graded(prompts, said, group)
            update = learner.step(learner_samples)
            learnt = self._synced()
            asyncio.run(engine.load(dict(model.state_dict())))
            loaded = self._synced()
            again = self._sample(engine, prompts[:2])
        finally:
            asyncio.run(engine.close())
        return {
            "rollouts": len(prompts),
            "sample_s": sampled - start,
            "learn_s": learnt - sampled,
            "load_s": loaded - learnt,
            "gradient_norm": update.norm,
            "mean_ratio_on_policy": update.ratio / max(1, update.targets),
            "largest_ratio_on_policy": update.largest_ratio,
            "version_after": max(again[0].versions),
            **self._memory(),
        }

    # ----------------------------------------------------------------------------------------------- what they are of

    def _model(self, layers: int, device: torch.device) -> Any:
        torch.manual_seed(0)
        config = Qwen3Config(**{**self.size.config, "num_hidden_layers": layers}, tie_word_embeddings=True)
        with device:
            return Qwen3ForCausalLM(config).eval()

    def _engine(self, model: Any) -> LocalEngine:
        tokens = self.size.prompts * (self.size.prompt + self.size.new)
        dtype = "bfloat16" if self.dtype == torch.bfloat16 else "float32"
        most = max(tokens, self.size.config["max_position_embeddings"])
        kind = "cuda" if self.device.type == "cuda" else "cpu"
        return LocalEngine(model.config, dict(model.state_dict()), dtype=dtype, device=kind, kv_tokens=most)  # type: ignore[arg-type]

    def _learner(self, model: Any) -> PolicyLearner:
        prepare(model)
        config = MarlConfig(
            model="random", out=Path("unused"), gradient_checkpointing=True, share_prefixes=False,
            precision="bf16" if self.dtype == torch.bfloat16 else "fp32",
        )  # fmt: skip
        return PolicyLearner(model.train(), config)

    def _gradients(self, samples: list[PolicySample], device: torch.device, layers: int) -> tuple[float, torch.Tensor]:
        learner = self._learner(self._model(layers, device))
        if device.type == "cpu":
            learner = PolicyLearner(learner.model, learner.config.model_copy(update={"precision": "fp32"}))
        update = PolicyUpdate()
        learner.accumulate(samples, update)
        gradient = learner.model.model.layers[0].self_attn.q_proj.weight.grad
        return update.loss, gradient.float().cpu()

    def _prompt(self, number: int) -> list[int]:
        draw = np.random.default_rng(number)
        ids: list[int] = draw.integers(2, self.size.config["vocab_size"], self.size.prompt).tolist()
        return ids

    def _random(self, number: int) -> PolicySample:
        ids = np.array(self._prompt(number) + self._prompt(number + 1000), np.int32)
        places = np.arange(len(ids) // 2, len(ids), dtype=np.int32)
        uniform = np.full(len(places), -np.log(self.size.config["vocab_size"]), np.float32)
        scale = 1 / len(places)
        return PolicySample(ids, places, uniform, scale if number % 2 else -scale, scale)

    def _sample(self, engine: LocalEngine, prompts: list[list[int]], new: int | None = None) -> list[Sampled]:
        async def all_of_them() -> list[Sampled]:
            asked = [Request(ids, new or self.size.new, seed=at) for at, ids in enumerate(prompts)]
            return await asyncio.gather(*map(engine.sample, asked))

        return asyncio.run(all_of_them())

    # ------------------------------------------------------------------------------------------------- time and memory

    def _synced(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _once(self, call: Callable[[], object]) -> float:
        start = self._synced()
        call()
        return self._synced() - start

    def _seconds(self, call: Callable[[], object]) -> float:
        """The fastest of five, after one to warm up."""
        call()
        return min(self._once(call) for _ in range(5))

    def _reset(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def _memory(self) -> Figures:
        """The most that was held since `_reset`, where the device tells."""
        return {"peak_gb": torch.cuda.max_memory_allocated(self.device) / 1e9} if self.device.type == "cuda" else {}


def _graded(prompts: list[list[int]], said: list[Sampled], group: int) -> list[PolicySample]:
    rewards = np.array([np.mean(np.array(one.ids) % 2 == 0) for one in said]).reshape(-1, group)
    spread = rewards.std(1, keepdims=True)
    advantages = ((rewards - rewards.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1)).ravel()
    samples = []
    for ids, one, advantage in zip(prompts, said, advantages, strict=True):
        places = np.arange(len(ids), len(ids) + len(one.ids), dtype=np.int32)
        scale = 1 / (len(said) * len(places))
        logprobs = np.array(one.logprobs, np.float32)
        samples.append(
            PolicySample(np.array(ids + one.ids, np.int32), places, logprobs, float(advantage) * scale, scale)
        )
    return samples


@torch.no_grad()
def _logprobs(model: Any, prompt: list[int], said: list[int]) -> np.ndarray:
    """What a plain forward pass in fp32 says of the sampled tokens."""
    logits = model(torch.tensor([prompt + said])).logits[0, len(prompt) - 1 : -1].float()
    found: np.ndarray = logits.log_softmax(-1).gather(1, torch.tensor(said)[:, None])[:, 0].numpy()
    return found


def _difference(ours: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    exact = exact.float().cpu()
    return float((ours.float().cpu() - exact).abs().max() / exact.abs().max())


def _parameters(model: Any) -> int:
    return sum(one.numel() for one in model.parameters())


PARTS = ("bounds", "attention", "engine", "learner", "grpo")


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--size", type=click.Choice(list(SIZES)), default="4b", show_default=True)
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--part", "parts", type=click.Choice(PARTS[1:]), multiple=True, help="Only this part; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Write the figures there, as JSON.")
def main(size: str, device: str, parts: tuple[str, ...], out: Path | None) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("torch sees no GPU here: give --device cpu, with --size tiny")
    check = Check(SIZES[size], torch.device(device))
    card = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    report: dict[str, Any] = {
        "date": datetime.date.today().isoformat(), "card": card, "torch": torch.__version__, "size": size,
    }  # fmt: skip
    failed = False
    for name in ("bounds", *(parts or PARTS[1:])):
        try:
            report[name] = getattr(check, name)()
        except (RuntimeError, ValueError, WideseekError) as error:  # a part that fails is a result, too
            report[name], failed = {"error": f"{type(error).__name__}: {error}"}, True
        gc.collect()
        click.echo(f"{name}: {json.dumps(report[name])}")
        if out is not None:
            write_whole({out: json.dumps(report, indent=1).encode()})
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
