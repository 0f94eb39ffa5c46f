"""Training throughput against plain Hugging Face, side by side in one run, on a Qwen3 of 4.03 M parameters.

    python bench/training.py [--repeat 3] [--threads 1] [--clock wall] [--lengths mixed --lengths nano] [--json]
    python bench/training.py --part grpo          a whole step of reinforcement learning against TRL: see grpo.py

Random weights and tokens: hidden 192, 6 layers, 6 heads over 2 key heads of 32, intermediate 768, vocabulary 4,096,
tied. A step is forward, backward, clipping and AdamW over the same ragged sequences for everybody:

* **HF**: what the library's trainer does: batches of 8 in the order of the data, padded on the right, an attention
  mask, sdpa, logits everywhere, gradients summed over the batches of a step; bf16 is autocast. **HF, one batch** pads
  all of a step's sequences to the longest, as reinforcement learners do. **HF, sorted** has batches of 8 of like
  length, the least padding that batches can have.
* **wideseek**: what `wideseek train` does: packed rows, attention inside segments, logits where a token is trained.

Lengths: *mixed* has 402 tokens on average (log-normal, 64 to 1,536); *nano* are those of rollouts on the pocket world
(231 on average, 33 to 1,565). In both, 37 % of the tokens are trained, as there.

tok/s are tokens of sequences (padding does not count) in the median time of the repeats, in which the engines take
turns.
`--clock cpu` counts this process's own time, for machines on which others work too.
"""

from __future__ import annotations

import copy
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
import grpo
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from wideseek.train.learner import Learner
from wideseek.train.model import prepare
from wideseek.train.samples import Sample
from wideseek.train.settings import OptimizerConfig, Precision

CONFIG = Qwen3Config(
    hidden_size=192, num_hidden_layers=6, vocab_size=4096, num_attention_heads=6, num_key_value_heads=2, head_dim=32,
    intermediate_size=768, tie_word_embeddings=True, max_position_embeddings=4096, pad_token_id=0, eos_token_id=None,
)  # fmt: skip
OPTIMIZER = OptimizerConfig(name="adamw", lr=1e-4)
NANO_SHARES = (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100)
NANO_LENGTHS = (33, 124, 135, 150, 161, 172, 184, 198, 218, 254, 351, 511, 1007, 1565)
BATCH = 8
PARTS = ("supervised", "grpo")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
TARGETS = {"wideseek fp32": "HF fp32: >= 2.5", "wideseek bf16": "HF bf16: >= 2.5; HF fp32: goal 4"}


# ------------------------------------------------------------------------------------------------------------ the data


def data(lengths: str, seed: int = 0) -> list[Sample]:
    """One step's sequences, in random order."""
    rng = np.random.default_rng(seed)
    if lengths == "nano":
        sizes = np.interp((np.arange(24) + 0.5) / 0.24, NANO_SHARES, NANO_LENGTHS)
    else:
        sizes = np.exp(rng.normal(0, 0.6, 16))
        sizes = np.clip(sizes * 402 / sizes.mean(), 64, 1536)
        sizes *= 402 / sizes.mean()
    return [sample(int(size), rng) for size in rng.permutation(sizes)]


def sample(length: int, rng: np.random.Generator) -> Sample:
    """Turns of some 26 sampled tokens after some 44 of context."""
    turns = np.zeros(length, np.int16)
    at, turn = int(rng.integers(20, 50)), 0
    while at < length:
        size, turn = int(rng.integers(8, 44)), turn + 1
        turns[at : at + size] = turn
        at += size + int(rng.integers(15, 73))
    return Sample(rng.integers(1, CONFIG.vocab_size, length).astype(np.int32), turns)


# --------------------------------------------------------------------------------------------------------- the engines


class HuggingFace:
    """Padded batches through plain `transformers`."""

    def __init__(self, model: Any, precision: Precision, batch: int | None = BATCH, by_length: bool = False) -> None:
        self.model = copy.deepcopy(model).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0)
        self._bf16, self._batch, self._by_length = precision == "bf16", batch, by_length

    def step(self, samples: Sequence[Sample]) -> float:
        samples = sorted(samples, key=len) if self._by_length else samples
        targets = sum(int(one.targeted.sum()) for one in samples)
        size = self._batch or len(samples)
        loss = 0.0
        for at in range(0, len(samples), size):
            batch = padded(samples[at : at + size])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bf16):
                part = self.model(**batch, num_items_in_batch=targets).loss
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss


def padded(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    longest = max(map(len, samples))
    ids = torch.zeros(len(samples), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, one in enumerate(samples):
        ids[row, : len(one)] = torch.from_numpy(one.ids)
        mask[row, : len(one)] = 1
        labels[row, : len(one)][torch.from_numpy(one.targeted)] = ids[row, : len(one)][one.targeted]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def ours(model: Any, precision: Precision) -> Callable[[Sequence[Sample]], float]:
    packed = copy.deepcopy(model)
    prepare(packed)
    learner = Learner(packed, OPTIMIZER, precision)
    return lambda samples: learner.step(samples, 1.0).loss


def engines() -> dict[str, Callable[[Sequence[Sample]], float]]:
    """One step by each, from the same weights."""
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(CONFIG).eval()
    return {
        "HF fp32": HuggingFace(model, "fp32").step,
        "HF fp32, one batch": HuggingFace(model, "fp32", batch=None).step,
        "HF fp32, sorted": HuggingFace(model, "fp32", by_length=True).step,
        "HF bf16": HuggingFace(model, "bf16").step,
        "wideseek fp32": ours(model, "fp32"),
        "wideseek bf16": ours(model, "bf16"),
    }


# ----------------------------------------------------------------------------------------------------------- measuring


@dataclass
class Row:
    """One engine on one kind of lengths; `to_...` is how many times as fast as that engine it is."""

    lengths: str
    engine: str
    seconds: float
    tokens_per_s: float
    to_hf_fp32: float
    to_hf_same: float


def measured(lengths: str, repeat: int, clock: Callable[[], float]) -> list[Row]:
    samples, steps = data(lengths), engines()
    losses = {name: step(samples[:2]) for name, step in steps.items()}  # once unmeasured, for imports and allocators
    assert max(losses.values()) - min(losses.values()) < 0.01, f"they do not compute the same: {losses}"
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeat):
        for name, step in steps.items():
            begin = clock()
            step(samples)
            seconds[name].append(clock() - begin)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    tokens = sum(map(len, samples))
    return [
        Row(lengths, name, s, tokens / s, median["HF fp32"] / s, median["HF bf16" if "bf16" in name else "HF fp32"] / s)
        for name, s in median.items()
    ]


@click.command()
@click.option("--repeat", default=3, show_default=True, help="Steps of each engine; the median counts.")
@click.option("--threads", default=1, show_default=True, help="Threads of torch, for all engines.")
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
@click.option("--lengths", "kinds", multiple=True, default=("mixed", "nano"), show_default=True)
@click.option("--part", "parts", multiple=True, default=PARTS, show_default=True, type=click.Choice(PARTS))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a part.")
def main(repeat: int, threads: int, clock: str, kinds: tuple[str, ...], parts: tuple[str, ...], as_json: bool) -> None:
    """Measure all engines."""
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    if "supervised" in parts:
        rows = [row for kind in kinds for row in measured(kind, repeat, CLOCKS[clock])]
        setting = {"repeat": repeat, "threads": threads, "clock": clock}
        if as_json:
            print(json.dumps({**setting, "rows": [vars(row) for row in rows]}))
        else:
            show(rows, f"Qwen3, 4.03 M parameters; {threads} thread(s), {clock} clock, median of {repeat}")
    if "grpo" in parts and grpo.available():
        grpo.bench(repeat, threads, clock, as_json)
    elif "grpo" in parts:
        click.echo(grpo.MISSING, err=True)


def show(rows: list[Row], title: str) -> None:
    grid = Table(
        "lengths", "engine", "s a step", "tok/s", "times HF fp32", "times HF, same dtype", "target", title=title
    )
    for row in rows:
        times = (f"{row.to_hf_fp32:.2f}", f"{row.to_hf_same:.2f}")
        target = TARGETS.get(row.engine, "")
        grid.add_row(row.lengths, row.engine, f"{row.seconds:.2f}", f"{row.tokens_per_s:,.0f}", *times, target)
    Console(width=130).print(grid)


if __name__ == "__main__":
    main()
