"""Supervised fine-tuning: behaviour cloning from saved rollouts.

    rollouts  ->  samples (once, kept in OUT)  ->  steps of packed rows  ->  cross-entropy on what a policy would
    sample, a plain mean over its tokens  ->  update  ->  held-out loss, exact tokens, exact turns

The rollouts may come from the expert, from a large model over HTTP, or from earlier training: those of token policies
keep the ids that were sampled, others are written as the model's template would have them.

A training is a folder (`checkpoint`, `log`, `data`); `resume` goes on with the same steps, data order and schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import monotonic

import msgspec
import numpy as np
import torch

from wideseek.errors import BadInput, BudgetEnded, RunDirError
from wideseek.journal import locked
from wideseek.policy.sheet import ModelSheet
from wideseek.policy.template import ChatTemplate
from wideseek.roles import Profile
from wideseek.train.checkpoint import load_state, make_room, save_checkpoint, write_folder
from wideseek.train.data import Dataset
from wideseek.train.learner import Learner, Update
from wideseek.train.log import Bar, Log, progress_bar
from wideseek.train.measure import measure
from wideseek.train.memory import first_line, give_back, out_of_memory
from wideseek.train.model import load_model, model_folder, save_model
from wideseek.train.optimizer import HalfUpdated, lr_share
from wideseek.train.packing import steps
from wideseek.train.samples import Renderer, Sample, save_samples
from wideseek.train.settings import SftConfig, changes
from wideseek.train.sitting import (
    CONFIG,
    check_same_model,
    chosen_device,
    earlier,
    interruptible,
    last_checkpoint,
)

LOG_EVERY = 10  # steps
STOP_AFTER = 10  # steps in a row whose loss or gradient is not finite


def run_sft(config: SftConfig, *, resume: bool = False, quiet: bool = False) -> Path:
    """Train, and return the folder of the trained model.

    `resume` goes on from the last checkpoint in `config.out` (from the start, where there is none). Raises `BadInput`
    and `RunDirError` in one line, and `BudgetEnded` where the user interrupted it: what was learnt is saved then.
    """
    checkpoint = last_checkpoint(config.out, resume)
    make_room(config.out)
    with locked(config.out):
        return _Training(config, checkpoint, resume, quiet).run()


@dataclass
class _Tally:
    """Sums since the last line of the log."""

    loss: float = 0.0
    targets: int = 0
    tokens: int = 0
    norm: float = 0.0
    steps: int = 0
    skipped: int = 0
    started: float = field(default_factory=monotonic)

    def add(self, update: Update) -> None:
        self.tokens += update.tokens
        if not update.finite:
            self.skipped += 1
            return
        self.steps += 1
        self.loss += update.loss * update.targets
        self.targets += update.targets
        self.norm += update.norm

    def figures(self) -> dict[str, float]:
        """Means over what was learnt; steps that were skipped are counted where there were any."""
        steps = max(1, self.steps)
        return {
            "loss": self.loss / self.targets if self.targets else float("nan"),
            "gradient_norm": self.norm / steps,
            "tokens_per_s": self.tokens / max(1e-9, monotonic() - self.started),
            "tokens_per_step": self.tokens / (steps + self.skipped),
            **({"skipped": self.skipped} if self.skipped else {}),
        }


class _Training:
    """One sitting, from the start or from `checkpoint`."""

    def __init__(self, config: SftConfig, checkpoint: Path | None, resume: bool, quiet: bool) -> None:
        self.config, self.quiet, self.model = config, quiet, model_folder(config.model)
        self.notes: list[str] = []
        if resume and checkpoint is None:
            self.notes.append(f"{config.out} holds no checkpoint: training from the start")
        device = chosen_device(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.template = ChatTemplate.load(checkpoint or self.model)
        self.sheet = msgspec.structs.replace(ModelSheet.of(self.model), prompts=config.prompts)
        model = load_model(checkpoint or self.model, device)
        self.learner = Learner(model, config.optimizer, config.precision, config.tokens_per_pass)
        self.step = self._go_on(checkpoint) if checkpoint else 0
        self.samples, self.held_out = self._read()
        self.log = Log(config.out, self.step)
        self.tally = _Tally()
        self.skipped = 0  # steps in a row, just now

    def _go_on(self, checkpoint: Path) -> int:
        """Take up a checkpoint's optimisers and step; note what the configuration says differently now."""
        config = self.config
        check_same_model(self.model, checkpoint)
        state = load_state(checkpoint)
        try:
            step = int(state["step"])
            self.learner.optimizers.load(state["optimizers"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunDirError(
                f"{checkpoint}: its state is not one of optimizer.name = {config.optimizer.name!r} for this model "
                f"({error}): use the configuration that it was trained with"
            ) from error
        before = earlier(checkpoint / CONFIG)
        changed = changes(before, config.model_dump(mode="json"))
        if changed:
            self.notes.append(f"changed since {checkpoint.name}: {', '.join(changed)}")
        return step

    # ---------------------------------------------------------------------------------------------------------- data

    def _read(self) -> tuple[list[Sample], list[Sample]]:
        """What is learnt from, and the held-out samples that are measured on: the same ones every time."""
        config = self.config
        key = f"{config.model} {config.prompts} {self.template.vocab_size}"
        data = Dataset(config.out, Renderer(self.template, Profile.load(config.prompts)), key, self.quiet)
        samples = self._fitting(data.read(config.data.rollouts, "samples"), "samples")
        if not config.data.held_out:
            return samples, []
        held_out = self._fitting(data.read(config.data.held_out, "held-out"), "held-out samples")
        chosen = np.random.default_rng(0).permutation(len(held_out))[: config.eval_samples]
        return samples, [held_out[at] for at in chosen]

    def _fitting(self, samples: Sequence[Sample], name: str) -> list[Sample]:
        """The samples that are short enough. Raises `BadInput` for tokens that the model has no embedding for."""
        known: int = self.learner.model.get_input_embeddings().num_embeddings  # type: ignore[operator]
        highest = max(int(sample.ids.max()) for sample in samples)
        if highest >= known:
            raise BadInput(
                f"data: {name} hold token {highest}, and {self.config.model} has embeddings for {known}: the rollouts "
                "were sampled by another model, or the tokenizer is another model's"
            )
        context = getattr(self.learner.model.config, "max_position_embeddings", None) or self.config.data.longest
        longest = min(self.config.data.longest, int(context))
        fitting = [sample for sample in samples if len(sample) <= longest]
        if not fitting:
            shortest = min(map(len, samples))
            raise BadInput(f"data: all {name} are longer than {longest:,} tokens (the shortest has {shortest:,})")
        if len(fitting) < len(samples):
            self.notes.append(f"{len(samples) - len(fitting):,} {name} longer than {longest:,} tokens are left out")
        return fitting

    def _steps(self) -> Iterator[list[Sample]]:
        """The samples of each step from the first on: short ones only at the beginning, where that is asked for."""
        data, tokens = self.config.data, self.config.tokens_per_step
        short = [sample for sample in self.samples if len(sample) <= data.short]
        yield from islice(steps(short, tokens, self.config.seed, data.subagents), data.short_steps)
        yield from steps(self.samples, tokens, self.config.seed + 1, data.subagents)

    # ------------------------------------------------------------------------------------------------------ training

    def run(self) -> Path:
        config = self.config
        with progress_bar("sft", config.steps, self.step, self.quiet) as bar, interruptible() as interrupted:
            self._greet(bar)
            told = ""
            for samples in islice(self._steps(), self.step, config.steps):
                self._learn(samples)
                last, stop = self.step == config.steps, interrupted()
                saving = self.step % config.save_every == 0 or last or stop
                if self.step % LOG_EVERY == 0 or saving:  # before a checkpoint, so that a resumed log is the same
                    told = self._tell()
                bar.show(self.step, told)
                if self.held_out and (self.step % config.eval_every == 0 or last):
                    self._evaluate(bar)
                if saving:
                    self._save()
                if stop and not last:
                    raise BudgetEnded(
                        f"interrupted at step {self.step} of {config.steps}, which is saved; go on with the same "
                        "command and --resume"
                    )
        place = config.out / "model"
        write_folder(place, self._write)
        self.log.close()
        return place

    def _greet(self, bar: Bar) -> None:
        tokens = sum(map(len, self.samples))
        size = sum(p.numel() for p in self.learner.model.parameters())
        bar.say(
            f"{size / 1e6:.2f} M parameters · {len(self.samples):,} samples, {tokens / 1e6:.1f} M tokens · "
            f"step {self.step} of {self.config.steps} · {self.config.out}"
        )
        for note in self.notes:
            bar.say(note)

    def _learn(self, samples: Sequence[Sample]) -> None:
        update = self._updated(samples)
        self.tally.add(update)
        self.step += 1
        self.skipped = 0 if update.finite else self.skipped + 1
        if self.skipped == STOP_AFTER:
            place = self.config.out / "not-finite.npz"
            save_samples(place, samples)
            raise BadInput(
                f"the loss or its gradient was not finite in {STOP_AFTER} steps running, up to step {self.step} (its "
                f"samples: {place}): lower the learning rates or set precision = 'fp32', then go on with --resume"
            )

    def _updated(self, samples: Sequence[Sample]) -> Update:
        """Where it fails nothing is lost: the weights are as they were, and saved. Where memory ran out it is tried
        once more, in passes of half the size, which later steps keep."""
        share, problem = self._share(self.step), ""
        for halved in (False, True):
            try:
                return self.learner.step(samples, share)
            except HalfUpdated:
                raise
            except Exception as error:
                self.learner.optimizers.drop()
                self._save()
                problem, full = first_line(error), out_of_memory(error)
            if halved or not full:
                break
            give_back()
            self.learner.pass_tokens = max(16, self.learner.pass_tokens // 2)
        raise BadInput(
            f"step {self.step + 1}: the learner failed ({problem}); step {self.step} is saved: "
            f"{'lower tokens_per_pass or data.longest' if full else 'mend that'}, then go on with --resume"
        )

    def _share(self, step: int) -> float:
        return lr_share(step, self.config.steps, self.config.optimizer.warmup, self.config.optimizer.decay)

    def _tell(self) -> str:
        figures = self.tally.figures()
        self.log.write(self.step, **figures, lr_share=self._share(self.step - 1))
        self.tally = _Tally()
        skipped = f" · {figures['skipped']} steps skipped: not finite" if "skipped" in figures else ""
        return f"loss {figures['loss']:.3f} · {figures['tokens_per_s']:,.0f} tokens/s{skipped}"

    def _evaluate(self, bar: Bar) -> None:
        figures = measure(self.learner, self.held_out)
        self.log.write(self.step, **figures)
        bar.say(
            f"step {self.step}: held out: loss {figures['held_out_loss']:.4f} · exact tokens "
            f"{figures['held_out_tokens']:.4f} · exact turns {figures['held_out_turns']:.4f} · "
            f"{self.log.seconds:,.0f} s"
        )
        self.tally.started = monotonic()

    # -------------------------------------------------------------------------------------------------------- saving

    def _save(self) -> None:
        state = {"optimizers": self.learner.optimizers.state()}
        save_checkpoint(self.config.out, self.step, self._write, state, self.config.keep)

    def _write(self, folder: Path) -> None:
        save_model(self.learner.model, self.template.tokenizer, folder)
        self.sheet.write(folder)
        (folder / CONFIG).write_bytes(msgspec.json.encode(self.config.model_dump(mode="json")))
