"""Multi-agent reinforcement learning: the lead and the subagents, one model, trained jointly (arXiv 2602.04634).

    questions  ->  groups of rollouts, streamed  ->  score, reward, credit, advantage     (questions, stream, groups)
               ->  samples, one weight per token  ->  clipped surrogate, one update        (batch, loss, policy_learner)
               ->  the new weights to the policy that rolls out                            (policy/local)

A training is a folder:

    metrics.jsonl, tensorboard/, curve.png    what every step was like
    checkpoints/step-000010/, model/          folders that plain `transformers` loads; state.pt to go on from
    rollouts/step-000010/, evals/             run folders of evaluations: `wideseek report` opens them; these rollouts
                                              are what step 11, the update of the weights of step 10, learnt from

`evaluate` and `record` are given by the caller, who knows evaluations; `rewarding` replaces the reward. Question n, its
width and its seeds follow from n alone, so a checkpoint holds weights, optimisers and step. With `staleness = 0` all
rollouts run in lockstep (`concurrency`), and on a CPU a resumed training is the same one, bit for bit.
"""

from __future__ import annotations

import asyncio
import copy
import shutil
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import msgspec
import torch

from wideseek.assembly import open_team
from wideseek.budget import Budget
from wideseek.concurrency import Lockstep
from wideseek.config import LOCAL, Config
from wideseek.errors import BadInput, BudgetEnded, RunDirError, WideseekError
from wideseek.journal import Journal, locked
from wideseek.policy.base import Policy
from wideseek.policy.local import LocalEngine
from wideseek.policy.names import BUNDLED
from wideseek.policy.sheet import ModelSheet
from wideseek.policy.template import ChatTemplate
from wideseek.policy.token import TokenPolicy
from wideseek.records import Task
from wideseek.scoring.judge import Judge
from wideseek.team import Team
from wideseek.train.batch import PolicySample, policy_samples, save_policy_samples
from wideseek.train.checkpoint import load_state, make_room, save_checkpoint, write_folder
from wideseek.train.curve import draw_curve
from wideseek.train.groups import (
    Group,
    Rewarding,
    access_tool,
    at_width,
    group_figures,
    make_group,
    sampled_tokens,
    staleness,
)
from wideseek.train.log import Bar, Log, progress_bar, read_metrics
from wideseek.train.memory import LEARNING, LOADING, first_line, give_back, out_of_memory
from wideseek.train.model import load_model, model_folder, silent, weights_digest
from wideseek.train.optimizer import HalfUpdated, lr_share
from wideseek.train.policy_learner import PolicyLearner, PolicyUpdate
from wideseek.train.questions import Questions, drawn, read_tasks
from wideseek.train.settings import MarlConfig, changes
from wideseek.train.sitting import CONFIG, check_same_model, chosen_device, earlier, interruptible, last_checkpoint
from wideseek.train.stream import Stream

T = TypeVar("T")
Evaluate = Callable[[Sequence[Task], Team, Path], Coroutine[Any, Any, dict[str, float]]]
"""Tasks, team and a new folder -> figures such as `item_f1`."""
Judging = Callable[[], AbstractAsyncContextManager[Judge | None]]
"""Opens the judge; `None` compares exactly."""
Record = Callable[[Sequence[Group], Team, Path], None]
"""Groups, team and a new folder -> the folder is written."""

MISMATCH = 1e-3  # nats a token between engine and learner, from which the user is warned
POLL = 0.2  # seconds between two looks at whether the user has interrupted


def run_marl(
    config: MarlConfig,
    *,
    resume: bool = False,
    quiet: bool = False,
    evaluate: Evaluate | None = None,
    record: Record | None = None,
    judging: Judging = nullcontext,
    rewarding: Rewarding | None = None,
) -> Path:
    """Train, and return the folder of the trained model.

    `resume` goes on from the last checkpoint in `config.out` (from the start, where there is none). Raises `BadInput`
    and `RunDirError` in one line, and `BudgetEnded` where the user interrupted it: what was learnt is saved then.
    """
    make_room(config.out)
    with locked(config.out), interruptible() as interrupted:
        checkpoint = last_checkpoint(config.out, resume)
        training = Training(config, checkpoint, evaluate, record, rewarding)
        if resume and checkpoint is None:
            training.notes.append(f"{config.out} holds no checkpoint: training from the start")
        with progress_bar("marl", config.steps, training.step, quiet) as bar:
            return asyncio.run(training.run(bar, judging, interrupted))


class Training:
    """One sitting, from the start or from `checkpoint`."""

    def __init__(
        self,
        config: MarlConfig,
        checkpoint: Path | None = None,
        evaluate: Evaluate | None = None,
        record: Record | None = None,
        rewarding: Rewarding | None = None,
    ) -> None:
        device = chosen_device(config.device)
        config = with_precision(config, device)
        self.config, self.model = config, model_folder(config.model)
        self._start = weights_digest(self.model)
        self._evaluate, self._record, self._rewarding = evaluate, record, rewarding
        self.notes: list[str] = []
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.questions = Questions(config)
        self.dev = self._dev() if evaluate and config.eval.every else []
        self.team_config = team_config(config, self.model)
        self.template = ChatTemplate.load(self.model, config.team.tokens.template)
        self.learner = self._learner(checkpoint, device)
        self.step = self._go_on(checkpoint) if checkpoint else 0
        self._forget_after(self.step if checkpoint else -1)
        self.log = Log(config.out, self.step if checkpoint else -1)
        self.skipped = 0  # updates in a row that were not finite, just now
        self._saved = self.step if checkpoint else -1
        self._warned = False
        self._lockstep = None if config.staleness else Lockstep()
        self._interrupted: Callable[[], bool] = lambda: False

    # --------------------------------------------------------------------------------------------------- beginning

    def _dev(self) -> list[Task]:
        chosen = self.config.eval
        tasks = [task for task in read_tasks(chosen.tasks) if chosen.kind in (None, task.kind)]
        if not tasks:
            raise BadInput(f"eval.tasks: {', '.join(chosen.tasks)}: holds no {chosen.kind} task")
        return drawn(tasks, chosen.limit, 0)

    def _learner(self, checkpoint: Path | None, device: torch.device) -> PolicyLearner:
        """All weights go on from the checkpoint's; adapters and the reference belong to the starting ones."""
        config = self.config
        adapted = bool(config.lora.rank)
        model = load_model(self.model if adapted or checkpoint is None else checkpoint, device)
        apart = config.loss.kl and not adapted and checkpoint is not None
        reference = load_model(self.model, device).requires_grad_(False) if apart else None
        return PolicyLearner(model, config, self.team_config.sampling.temperature or 1.0, reference)

    def _go_on(self, checkpoint: Path) -> int:
        """Take up a checkpoint's optimisers and step; note what the configuration says differently now."""
        check_same_model(self.model, checkpoint)
        state = load_state(checkpoint)
        if state.get("start", self._start) != self._start:
            raise RunDirError(
                f"{checkpoint}: this training began with other weights of {self.config.model}, which changed since: "
                "choose another out, or put them back"
            )
        try:
            step = int(state["step"])
            self.learner.load(state)
        except (KeyError, TypeError, ValueError) as error:
            raise RunDirError(
                f"{checkpoint}: its state does not fit the configuration ({error}): use the one it was trained with"
            ) from error
        changed = changes(earlier(checkpoint / CONFIG), self.config.model_dump(mode="json"))
        if changed:
            self.notes.append(f"changed since {checkpoint.name}: {', '.join(changed)}")
        return step

    def _forget_after(self, step: int) -> None:
        """Rollouts and evaluations of steps that a killed sitting made and that are made again; all, where it is -1."""
        for kind, kept in (("rollouts", step - 1), ("evals", step)):
            for folder in self.config.out.glob(f"{kind}/step-*"):
                number = folder.name.split("-")[1]
                if number.isdigit() and int(number) > kept:
                    shutil.rmtree(folder, ignore_errors=True)

    # ---------------------------------------------------------------------------------------------------- training

    async def run(
        self, bar: Bar, judging: Judging = nullcontext, interrupted: Callable[[], bool] = lambda: False
    ) -> Path:
        """All steps that are left; the trained model's folder."""
        async with judging() as judge, open_team(self.team_config, Journal(), Budget()) as team:
            engine = trained_engine(team, self.config)
            if self.step:
                await engine.load(self.learner.weights(), self.step)
            self._greet(bar)
            self._interrupted = interrupted
            if self._measures_now() and not self._has_measured():
                await self._measure(team, bar)
            bar.restart()
            stream = Stream(
                lambda number: make_group(
                    self.questions[number], team, self.config, judge, self._rewarding, self._branch()
                ),
                self.config.questions,
                self.step,
                self.config.steps,
                self.config.staleness,
            )
            try:
                while self.step < self.config.steps:
                    await self._train_step(stream, team, engine, bar)
            finally:
                await stream.close()
        place = self.config.out / "model"
        write_folder(place, self._write)
        draw_curve(self.config.out)
        self.log.close()
        return place

    def _branch(self) -> AbstractContextManager[object]:
        """What a group's rollouts are made in. The groups of a step begin together, so each is counted from now on."""
        return self._lockstep.branch() if self._lockstep else nullcontext()

    async def _train_step(self, stream: Stream[Group], team: Team, engine: LocalEngine, bar: Bar) -> None:
        started = monotonic()
        if self._lockstep:
            await engine.forget()  # what an evaluation left there would change who shares which prefix
        groups = await self._unless_interrupted(stream.batch(self.step))
        waited = monotonic()
        samples = self._samples(groups)
        update = await self._learn(samples, bar)
        learnt = monotonic()
        self._check(update, samples)
        seconds = {"seconds_waiting": waited - started, "seconds_learning": learnt - waited}
        stale = staleness(groups, engine.version)
        self.step += 1
        if update.changed:
            with self._kept("the new weights could not be given to the engine", LOADING):
                await engine.load(self.learner.weights())
        if not self._lockstep:
            stream.advance(self.step)  # the next rollouts begin beside what follows
        if self._record:
            with self._kept("its rollouts could not be recorded", "set save_rollouts = false"):
                self._record(groups, team, self.config.out / "rollouts" / f"step-{self.step - 1:06d}")
        self._tell(groups, team, update, {**seconds, "seconds_step": monotonic() - started}, stale, bar)
        await self._milestones(team, bar)
        stream.advance(self.step)

    async def _learn(self, samples: Sequence[PolicySample], bar: Bar) -> PolicyUpdate:
        """The update. Where it fails nothing is lost: the weights are as they were, and saved. Where memory ran out it
        is tried once more, in passes of half the size, which later steps keep."""
        share, problem = self._share(self.step), ""
        for halved in (False, True):
            try:
                return await asyncio.to_thread(self.learner.step, samples, share)
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
            bar.say(
                f"step {self.step + 1}: memory ran out: once more with tokens_per_pass = {self.learner.pass_tokens:,}"
            )
        remedy = LEARNING if full else "mend that"
        raise BadInput(
            f"step {self.step + 1}: the learner failed ({problem}); step {self.step} is saved: {remedy}, then go on "
            "with --resume"
        )

    @contextmanager
    def _kept(self, what: str, remedy: str) -> Iterator[None]:
        """Whatever fails inside, what was learnt is saved first, and it is said in one line."""
        try:
            yield
        except WideseekError:
            self._save()
            raise
        except Exception as error:
            self._save()
            raise BadInput(
                f"step {self.step}, which is saved: {what} ({first_line(error)}): {remedy}, then go on with --resume"
            ) from error

    async def _unless_interrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. Where the user interrupts meanwhile, or it fails, what was learnt is saved first."""
        job = asyncio.ensure_future(work)
        try:
            with self._kept("its rollouts failed", "mend that"):
                while not job.done():
                    if self._interrupted():
                        raise BudgetEnded(
                            f"interrupted at step {self.step} of {self.config.steps}, which is saved; go on with the "
                            "same command and --resume"
                        )
                    await asyncio.wait([job], timeout=POLL)
                return job.result()
        finally:
            job.cancel()
            await asyncio.wait([job])

    def _samples(self, groups: Sequence[Group]) -> list[PolicySample]:
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        advantages = [advantage for group in groups for advantage in group.advantages]
        if all(advantage is None for advantage in advantages):
            why = next((reward.why for group in groups for reward in group.rewards if reward.why), "unknown")
            self._save()
            raise BadInput(
                f"step {self.step}: none of its {len(rollouts)} rollouts could be scored ({why}): mend that, "
                "then go on with --resume"
            )
        return policy_samples(rollouts, advantages, idle=self.config.loss.kl > 0)

    def _check(self, update: PolicyUpdate, samples: Sequence[PolicySample]) -> None:
        self.skipped = 0 if update.finite else self.skipped + 1
        if self.skipped == self.config.stop_after:
            self._save()
            place = self.config.out / "not-finite.npz"
            save_policy_samples(place, samples)
            raise BadInput(
                f"the loss or its gradient was not finite in {self.skipped} updates running, up to step "
                f"{self.step + 1} (its samples: {place}): lower optimizer.lr or set precision = "
                "'fp32', then go on with --resume"
            )

    async def _milestones(self, team: Team, bar: Bar) -> None:
        """Evaluations and checkpoints that are due."""
        if self._measures_now():
            await self._measure(team, bar)
        if self.step % self.config.save_every == 0 or self.step == self.config.steps:
            self._save()

    def _share(self, step: int) -> float:
        return lr_share(step, self.config.steps, self.config.optimizer.warmup, self.config.optimizer.decay)

    # --------------------------------------------------------------------------------------------------- measuring

    def _measures_now(self) -> bool:
        every = self.config.eval.every
        return bool(self.dev) and bool(every) and (self.step % every == 0 or self.step == self.config.steps)

    def _has_measured(self) -> bool:
        """Whether an earlier sitting has measured these weights: an interrupted one may have saved them unmeasured."""
        lines = read_metrics(self.log.path)
        return any(line["step"] == self.step and any(key.startswith("eval_") for key in line) for line in lines)

    async def _measure(self, team: Team, bar: Bar) -> None:
        """The fixed questions, asked greedily and sampled as it is trained, under one version of the weights."""
        assert self._evaluate is not None, "without it there are no fixed questions"
        figures: dict[str, float] = {}
        for name, temperature in (("greedy", 0.0), ("sampled", None)):
            if getattr(self.config.eval, name):
                asked = at_width(team, self.config.eval.width or max(self.config.widths), self.config.seed)
                if temperature is not None:
                    asked.policies = at_temperature(team.policies, temperature)
                folder = self.config.out / "evals" / f"step-{self.step:06d}-{name}"
                shutil.rmtree(folder, ignore_errors=True)  # half an evaluation, of a sitting that was interrupted
                found = await self._unless_interrupted(self._evaluate(self.dev, asked, folder))
                figures |= {f"eval_{name}_{key}": value for key, value in found.items()}
        self.log.write(self.step, **figures)
        draw_curve(self.config.out)
        shown = " · ".join(f"{k.removeprefix('eval_')} {v:.3f}" for k, v in figures.items() if "item_f1" in k)
        bar.say(f"step {self.step}: {shown or figures} · {self.log.seconds:,.0f} s")

    def _greet(self, bar: Bar) -> None:
        parameters = list(self.learner.model.parameters())
        size, trained = (sum(p.numel() for p in ps) for ps in (parameters, self.learner.optimizers.parameters))
        bar.say(
            f"{size / 1e6:.2f} M parameters, {trained / 1e6:.2f} M trained · roles {', '.join(self.config.trained)} · "
            f"{self.config.questions} questions × {self.config.group} rollouts a step · step {self.step} of "
            f"{self.config.steps} · {self.config.out}"
        )
        for note in self.notes:
            bar.say(note)

    def _tell(
        self,
        groups: Sequence[Group],
        team: Team,
        update: PolicyUpdate,
        seconds: dict[str, float],
        stale: int,
        bar: Bar,
    ) -> None:
        sampled = sampled_tokens(groups)
        figures = {
            **group_figures(groups, access_tool(team.profile, self.config.team.workflow)),
            **update.figures(),
            **self._mismatch(update, stale, bar),
            "skipped": float(not update.finite),
            "staleness": float(stale),
            "lr_share": self._share(self.step - 1),
            "sampled_tokens": float(sampled),
            "sampled_tokens_per_s": sampled / max(1e-9, seconds["seconds_step"]),
            "computed_tokens_per_s": update.tokens / max(1e-9, seconds["seconds_learning"]),
            **seconds,
        }
        self.log.write(self.step, **figures)
        told = [f"reward {figures['reward']:.3f}"]
        if update.targets:
            told += [f"entropy {figures['entropy']:.2f}", f"clipped {figures['clipped']:.1%}"]
        told.append(f"{figures['sampled_tokens_per_s']:,.0f} tokens/s")
        told += [f"{int(figures['unscored'])} unscored"] if figures["unscored"] else []
        told += [] if update.targets else ["nothing learnt: all rewards are equal in every group"]
        told += ["update skipped: not finite"] if figures["skipped"] else []
        bar.show(self.step, " · ".join(told))

    def _mismatch(self, update: PolicyUpdate, stale: int, bar: Bar) -> dict[str, float]:
        """How far the engine's probabilities are from the learner's where the weights are the same: nearly 0."""
        if stale or not update.targets:
            return {}
        mismatch = update.kl / update.targets
        if mismatch > MISMATCH and not self._warned:
            self._warned = True
            bar.say(
                f"step {self.step}: engine and learner differ by {mismatch:.1e} nats a token with the same weights: "
                "give team.local.dtype and precision the same type (float32 and fp32, or bfloat16 and bf16)"
            )
        return {"mismatch": mismatch}

    # ------------------------------------------------------------------------------------------------------- saving

    def _save(self) -> None:
        if self._saved != self.step:
            save_checkpoint(
                self.config.out,
                self.step,
                self._write,
                {"start": self._start, **self.learner.state()},
                self.config.keep,
            )
            self._saved = self.step

    def _write(self, folder: Path) -> None:
        with silent():
            self.learner.save(folder)
            self.template.tokenizer.save_pretrained(folder)
        sheet = ModelSheet.of(self.model)
        prompts = None if self.team_config.prompts == "auto" else self.team_config.prompts
        msgspec.structs.replace(sheet, prompts=prompts or sheet.prompts).write(folder)
        (folder / CONFIG).write_bytes(msgspec.json.encode(self.config.model_dump(mode="json")))


# ---------------------------------------------------------------------------------------------- who works with what


def team_config(config: MarlConfig, folder: str) -> Config:
    """The team that rolls out: the trained model in its roles, the frozen one (or the start's) in the others."""
    bundled = config.model in BUNDLED and folder == model_folder(config.model)
    trained = config.model if bundled else f"{LOCAL}{folder}"
    frozen = config.frozen or trained
    lead, sub = trained, None
    if set(config.trained) == {"lead"}:
        sub = frozen
    elif set(config.trained) == {"sub"}:
        lead, sub = frozen, trained
    sampling = config.team.sampling.model_copy(
        update={"temperature": config.team.sampling.temperature or 1.0, "top_p": 1.0}
    )
    return config.team.model_copy(update={"model": lead, "sub_model": sub, "sampling": sampling})


def with_precision(config: MarlConfig, device: torch.device) -> MarlConfig:
    """What is unset follows: bf16 on a GPU and fp32 elsewhere for the learner, and the same for the engine."""
    precision = config.precision or ("bf16" if device.type == "cuda" else "fp32")
    team = config.team
    if team.local.dtype == "auto":
        local = team.local.model_copy(update={"dtype": "bfloat16" if precision == "bf16" else "float32"})
        team = team.model_copy(update={"local": local})
    return config.model_copy(update={"precision": precision, "team": team})


def trained_engine(team: Team, config: MarlConfig) -> LocalEngine:
    """The engine whose weights are trained."""
    policy = team.policies["sub" if set(config.trained) == {"sub"} else "lead"]
    if not isinstance(policy, TokenPolicy) or not isinstance(policy.sampler, LocalEngine):
        raise BadInput(f"model {policy.name!r}: only a model that runs in this process (a folder) can be trained")
    return policy.sampler


def at_temperature(policies: Mapping[str, Policy], temperature: float) -> dict[str, Policy]:
    """The same policies, those that sample tokens at another temperature."""
    changed: dict[str, Policy] = {}
    for role, policy in policies.items():
        if isinstance(policy, TokenPolicy):
            policy = copy.copy(policy)
            policy.sampling = msgspec.structs.replace(policy.sampling, temperature=temperature)
        changed[role] = policy
    return changed
