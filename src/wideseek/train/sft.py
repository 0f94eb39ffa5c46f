"""Supervised fine-tuning: behaviour cloning from saved rollouts.

    rollouts  ->  samples (once, kept in OUT/samples-*.npz)  ->  steps of packed rows  ->  cross-entropy on what a policy
    would sample, a plain mean over its tokens  ->  update  ->  held-out loss, exact tokens, exact turns

The rollouts may come from the expert, from a large model over HTTP, or from earlier training: those of token policies keep
the ids that were sampled, others are written as the model's template would have them.

A training is a folder (`checkpoint`, `log`); `resume` goes on with the same steps, data order and schedule.
"""

from __future__ import annotations

import glob
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch.nn import functional as F

from wideseek.errors import BadInput, RunDirError
from wideseek.policy.template import ChatTemplate
from wideseek.records import Rollout, read_jsonl
from wideseek.roles import Profile
from wideseek.train.checkpoint import checkpoints, load_state, save_checkpoint, write_folder
from wideseek.train.log import Bar, Log, progress_bar
from wideseek.train.model import load_model, save_model, token_logits
from wideseek.train.optimizer import Optimizers, lr_share
from wideseek.train.packing import Pack, pack, steps
from wideseek.train.samples import Renderer, Sample, load_samples, samples_of, save_samples
from wideseek.train.settings import SftConfig

LOG_EVERY = 10  # steps


@dataclass
class _Tally:
    """Sums since the last line of the log."""

    loss: float = 0.0
    targets: int = 0
    tokens: int = 0
    norm: float = 0.0
    steps: int = 0
    seconds: float = 0.0


def run_sft(config: SftConfig, *, resume: bool = False, quiet: bool = False) -> Path:
    """Train, and return the folder of the trained model. Raises `BadInput` and `RunDirError` in one line.

    `resume` goes on from the last checkpoint in `config.out` (from the start, where there is none).
    """
    return _Training(config, resume, quiet).run()


class _Training:
    def __init__(self, config: SftConfig, resume: bool, quiet: bool) -> None:
        self.config, self.quiet = config, quiet
        self.device = _device(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        found = checkpoints(config.out)
        if found and not resume:
            raise RunDirError(
                f"{config.out}: holds a training (at {found[-1].name}): go on with --resume, or choose another out"
            )
        config.out.mkdir(parents=True, exist_ok=True)
        self.template = ChatTemplate.load(config.model)
        self.model = load_model(found[-1] if found else config.model, self.device)
        self.optimizers = Optimizers(self.model, config.optimizer)
        self.step = 0
        if found:
            state = load_state(found[-1])
            self.step = int(state["step"])
            self.optimizers.load(state["optimizers"])
        self.renderer = Renderer(self.template, Profile.load(config.prompts))
        self.samples = self._read(config.data.rollouts, "samples")
        self.held_out = self._read(config.data.held_out, "held-out") if config.data.held_out else []
        self.log = Log(config.out, self.step)

    # ---------------------------------------------------------------------------------------------------------- data

    def _read(self, patterns: Sequence[str], name: str) -> list[Sample]:
        """The samples of all files, from the cache where nothing has changed since it was written."""
        paths = [Path(found) for pattern in patterns for found in sorted(glob.glob(pattern))]
        if not paths:
            raise BadInput(f"data: no file matches {', '.join(patterns)}")
        key = hashlib.blake2b(digest_size=8)
        for path in paths:
            stat = path.stat()
            key.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode())
        key.update(f"{self.config.model} {self.config.prompts} {self.template.vocab_size}".encode())
        cache = self.config.out / f"{name}-{key.hexdigest()}.npz"
        if not cache.exists():
            rollouts = (rollout for path in paths for rollout in read_jsonl(path, Rollout))
            save_samples(cache, list(samples_of(rollouts, self.renderer)))
        samples = [sample for sample in load_samples(cache) if len(sample) <= self.config.data.longest]
        if not samples:
            raise BadInput(
                f"data: {', '.join(patterns)}: holds nothing to train on (at most {self.config.data.longest} tokens)"
            )
        return samples

    def _steps(self) -> Iterator[list[Sample]]:
        """The samples of each step from the first on: short ones only at the beginning, where that is asked for."""
        data, tokens = self.config.data, self.config.tokens_per_step
        short = [sample for sample in self.samples if len(sample) <= data.short]
        if short:
            yield from islice(steps(short, tokens, self.config.seed, data.subagents), data.short_steps)
        yield from steps(self.samples, tokens, self.config.seed + 1, data.subagents)

    # ------------------------------------------------------------------------------------------------------ training

    def run(self) -> Path:
        config = self.config
        told = ""
        tally = _Tally()
        with progress_bar("sft", config.steps, self.step, self.quiet) as bar:
            self._greet(bar)
            for samples in islice(self._steps(), self.step, config.steps):
                self._update(samples, tally)
                self.step += 1
                if self.step % LOG_EVERY == 0 or self.step == config.steps:
                    told, tally = self._tell(tally), _Tally()
                bar.show(self.step, told)
                if self.held_out and (self.step % config.eval_every == 0 or self.step == config.steps):
                    self._evaluate(bar)
                if self.step % config.save_every == 0 or self.step == config.steps:
                    self._save()
        place = config.out / "model"
        write_folder(place, self._write)
        self.log.close()
        return place

    def _greet(self, bar: Bar) -> None:
        tokens = sum(map(len, self.samples))
        size = sum(p.numel() for p in self.model.parameters())
        bar.say(
            f"{size / 1e6:.2f} M parameters · {len(self.samples):,} samples, {tokens / 1e6:.1f} M tokens · "
            f"step {self.step} of {self.config.steps} · {self.config.out}"
        )

    def _update(self, samples: Sequence[Sample], tally: _Tally) -> None:
        started = time.monotonic()
        packed = pack(samples).to(self.device)
        loss = F.cross_entropy(self._logits(packed), packed.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer = self.config.optimizer
        tally.norm += self.optimizers.step(lr_share(self.step, self.config.steps, optimizer.warmup, optimizer.decay))
        tally.loss += float(loss.detach()) * len(packed.labels)
        tally.targets += len(packed.labels)
        tally.tokens += packed.ids.shape[1]
        tally.steps += 1
        tally.seconds += time.monotonic() - started

    def _logits(self, packed: Pack) -> torch.Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bf16"):
            return token_logits(self.model, packed)

    def _tell(self, tally: _Tally) -> str:
        loss, speed = tally.loss / tally.targets, tally.tokens / tally.seconds
        optimizer = self.config.optimizer
        self.log.write(
            self.step,
            loss=loss,
            gradient_norm=tally.norm / tally.steps,
            lr_share=lr_share(self.step - 1, self.config.steps, optimizer.warmup, optimizer.decay),
            tokens_per_s=speed,
            tokens_per_step=tally.tokens / tally.steps,
        )
        return f"loss {loss:.3f} · {speed:,.0f} tokens/s"

    # ---------------------------------------------------------------------------------------------------- measuring

    def _evaluate(self, bar: Bar) -> None:
        figures = self.measure(self._chosen(), self.config.tokens_per_step)
        self.log.write(self.step, **figures)
        bar.say(
            f"step {self.step}: held out: loss {figures['held_out_loss']:.4f} · exact tokens "
            f"{figures['held_out_tokens']:.4f} · exact turns {figures['held_out_turns']:.4f} · {self.log.seconds:,.0f} s"
        )

    def _chosen(self) -> list[Sample]:
        """The held-out samples that are measured on: the same ones every time."""
        count = min(self.config.eval_samples, len(self.held_out))
        return [self.held_out[at] for at in np.random.default_rng(0).permutation(len(self.held_out))[:count]]

    @torch.no_grad()
    def measure(self, samples: Sequence[Sample], tokens: int) -> dict[str, float]:
        """Loss, share of tokens and share of whole turns that the most likely token gets right, turn by turn by role.

        Every token is predicted from the true ones before it.
        """
        loss, right, turns, sizes = 0.0, 0, 0, 0
        whole: dict[str, list[bool]] = {}
        for part in _portions(samples, tokens):
            packed = pack(part).to(self.device)
            logits = self._logits(packed)
            loss += float(F.cross_entropy(logits, packed.labels, reduction="sum"))
            hits = logits.argmax(-1) == packed.labels
            right, sizes = right + int(hits.sum()), sizes + len(hits)
            count = int(packed.turns.max()) + 1
            exact = torch.ones(count, dtype=torch.bool, device=self.device)
            exact[packed.turns[~hits]] = False
            turns += count
            for role, hit in zip(_roles_of_turns(part), exact.tolist(), strict=True):
                whole.setdefault(role, []).append(hit)
        by_role = {f"held_out_turns_{role}": float(np.mean(hits)) for role, hits in sorted(whole.items())}
        exact_turns = sum(map(sum, whole.values())) / max(1, turns)
        return {
            "held_out_loss": loss / max(1, sizes),
            "held_out_tokens": right / max(1, sizes),
            "held_out_turns": exact_turns,
            **by_role,
        }

    # -------------------------------------------------------------------------------------------------------- saving

    def _save(self) -> None:
        save_checkpoint(
            self.config.out, self.step, self._write, {"optimizers": self.optimizers.state()}, self.config.keep
        )

    def _write(self, folder: Path) -> None:
        save_model(self.model, self.template.tokenizer, folder)
        (folder / "training.json").write_bytes(msgspec.json.encode(self.config.model_dump(mode="json")))


def _roles_of_turns(samples: Sequence[Sample]) -> list[str]:
    """The role of each trained turn, in the order in which a pack numbers them."""
    return [sample.role for sample in samples for _ in np.unique(sample.turns[1:][sample.turns[1:] > 0])]


def _portions(samples: Sequence[Sample], tokens: int) -> Iterator[list[Sample]]:
    portion: list[Sample] = []
    for sample in samples:
        portion.append(sample)
        if sum(map(len, portion)) >= tokens:
            yield portion
            portion = []
    if portion:
        yield portion


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device = 'cuda': no GPU is available here: use device = 'auto' or 'cpu'")
    return torch.device(name)


def summary(out: Path) -> dict[str, Any]:
    """The last held-out figures of a training, for people and machines."""
    from wideseek.train.log import read_metrics

    measured = [line for line in read_metrics(out / "metrics.jsonl") if "held_out_loss" in line]
    return measured[-1] if measured else {}
