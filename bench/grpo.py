"""A whole step of GRPO against TRL's GRPOTrainer, side by side in one run: rollouts, rewards, one update, new weights.

    python bench/grpo.py [--repeat 3] [--threads 1] [--clock wall] [--setup episodes] [--json]

Three setups, all prompt-heavy: two questions, G = 8 rollouts of each, temperature 1, AdamW, one update a batch, no KL.

* **one turn**: 16 x (438 prompt + 128 new tokens), on a Qwen3 of 4.03 M parameters with random weights.
* **episodes**: 16 leads of three turns and their 48 subagents of three turns, same model. A conversation is a system
  prompt that its role shares, a question that its group shares (a subagent: a subtask of its own), and a reply after
  every sampled turn but the last. How many tokens a turn samples is drawn and forced, for random weights never stop.
* **pocket**: what `wideseek train configs/nano-marl.toml` does: the bundled nano-base asks the pocket world, with its
  template, tools, stop tokens and scores. TRL replays the conversations: the same prompts and replies, the same number
  of new tokens in every turn.

**wideseek** runs what the training loop runs: the team over the local engine, scores, marks, advantages
(`groups.make_group`), samples, prefix trees and the update (`PolicyLearner.step`), the new weights into the engine
(`LocalEngine.load`). Rewards are replaced by one that differs within each group, so that none is skipped, and all turns
are trained (`credit = "all"`). *bf16* is the learner's autocast with the engine in fp32, as in configs/nano-marl.toml.

**TRL** gets what was fastest for it here. It knows no subagents: every agent is an episode of its own, which spares it
to wait for them. Its tool loop samples the next turn of all episodes in one left-padded batch, which ends with its
longest turn and computes the history again; so does `Trl.rollout` (its `rollout_func`, with an `env_mask`), by its own
`_generate_single_turn`, but one batch per role, which pads less. Templates, parsing and tools are left out: they
cost it nothing. No stop tokens, no checkpointing of activations; micro-batches of `--micro` sequences, the cache that
`--cache` names; *bf16* is its `bf16=True`.

tok/s are sampled tokens over the seconds of the whole step; the best of the repeats, in which all take turns.
Phases: *generation* until the last turn is sampled (tools, and scores of groups that ended before, fall into it),
*scoring* what is left before the update, *learning*, *weights* into the engine. `--clock cpu` counts this process's own
time, for machines on which others work too.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import click
import torch
from engine import CLOCKS, CONFIG
from rich.console import Console
from rich.table import Table
from transformers import Qwen3ForCausalLM
from transformers.utils import logging

from wideseek.assembly import open_team
from wideseek.assets import bundled_model
from wideseek.budget import Budget
from wideseek.journal import Journal
from wideseek.policy.base import PolicyWrapper, Sampling, ToolSchema
from wideseek.policy.local import LocalEngine
from wideseek.policy.token import Request
from wideseek.records import Completion, Page, Rollout, Score, Task, ToolCall, Trajectory, Usage
from wideseek.roles import LEAD, SINGLE, SUB, Role
from wideseek.scoring.reward import Reward
from wideseek.team import Team
from wideseek.tools.base import Hit
from wideseek.train.batch import policy_samples
from wideseek.train.groups import Group, make_group, sampled_tokens
from wideseek.train.loop import team_config, trained_engine
from wideseek.train.model import load_model, prepare, silent
from wideseek.train.policy_learner import PolicyLearner
from wideseek.train.questions import Question, Questions
from wideseek.train.settings import MarlConfig

GROUP, QUESTIONS = 8, 2
PROMPT, NEW = 438, 128
WIDTH = 3  # subagents of a lead
MICRO, CACHE = {"fp32": 2, "bf16": 8}, "dynamic"  # what is fastest for TRL here
PHASES = ("generation", "scoring", "learning", "weights")
SETUPS = ("one turn", "episodes", "pocket")
ANSWER = "```markdown\n| Name | Height | Year |\n|---|---|---|\n" + "| Skagen | 46 | 1858 |\n" * 3 + "```"
OPTIMIZER = {"name": "adamw", "lr": 1e-6, "betas": [0.9, 0.95], "weight_decay": 0.0, "clip": 1.0}

MISSING = "a whole step of GRPO against TRL: needs trl, which comes with wideseek[dev]"

Clock = Callable[[], float]


@dataclass
class Step:
    """What one step sampled, and the seconds of its phases."""

    tokens: int
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


# --------------------------------------------------------------------------------------------------- forced episodes


@dataclass
class Planned:
    """A turn: the ids that are appended, how many are sampled, and the call that is made then."""

    delta: list[int]
    new: int
    call: tuple[str, dict[str, Any]] | None = None


def draws(seed: int | str, least: int, most: int) -> tuple[list[int], int]:
    """Random ids, between `least` and `most` of them, and a number drawn alike."""
    draw = random.Random(seed)
    return [draw.randrange(1, CONFIG.vocab_size) for _ in range(draw.randint(least, most))], draw.randint(0, 1 << 20)


def single(run: Trajectory) -> list[Planned]:
    return [Planned(draws(run.prompt, PROMPT, PROMPT)[0], NEW)]


def lead(run: Trajectory) -> list[Planned]:
    """About 330 tokens, 110 of them sampled."""
    subtasks = [f"subtask {number} of {run.seed}" for number in range(WIDTH)]
    delegate = ("call_subagent", {"subtasks": subtasks})
    more = ("call_subagent", {"subtasks": []})  # a malformed call: the lead is told so, and goes on
    opening = draws("lead", 100, 100)[0] + draws(run.prompt, 30, 50)[0]
    return turns(run, [opening, (50, 120), (15, 30)], [(25, 50), (10, 20), (40, 80)], [delegate, more, None])


def sub(run: Trajectory) -> list[Planned]:
    """About 155 tokens, 50 of them sampled."""
    calls = [("search", {"query": "lighthouses"}), ("access", {"url": Pages.url}), None]
    opening = draws("sub", 50, 50)[0] + draws(run.prompt, 12, 25)[0]
    return turns(run, [opening, (15, 35), (10, 30)], [(8, 16), (8, 16), (15, 40)], calls)


def turns(run: Trajectory, deltas: list[Any], news: list[tuple[int, int]], calls: list[Any]) -> list[Planned]:
    """Turns of drawn lengths. They are the same for a place in the agent tree, in every step."""
    planned = []
    for number, (delta, new, call) in enumerate(zip(deltas, news, calls, strict=True)):
        ids = delta if isinstance(delta, list) else draws(f"{run.seed}/{number}", *delta)[0]
        planned.append(Planned(ids, random.Random(f"{run.seed}/{number}/new").randint(*new), call))
    return planned


PLANS = {"single": single, "lead": lead, "sub": sub}


class Forced:
    """A policy that samples as many tokens as planned from the engine, and calls what is planned."""

    name, label, sampling = "forced", "", Sampling(1.0, 1.0)

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine

    @property
    def version(self) -> int:
        return self.engine.version

    async def complete(self, run: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        turn = PLANS[run.role](run)[len(run.turns)]
        ids = [*history(run), *turn.delta]
        said = await self.engine.sample(Request(ids, turn.new, (), 1.0, 1.0, run.seed + len(run.turns)))
        return Completion(
            text="" if turn.call else ANSWER,
            tool_calls=[ToolCall("1", *turn.call)] if turn.call else [],
            usage=Usage(1, len(ids), len(said.ids)),
            model=self.name,
            version=min(said.versions),
            prompt_ids=turn.delta,
            completion_ids=said.ids,
            logprobs=said.logprobs,
        )

    async def close(self) -> None:
        await self.engine.close()


def history(run: Trajectory) -> Iterator[int]:
    for turn in run.turns:
        yield from turn.completion.prompt_ids or ()
        yield from turn.completion.completion_ids or ()


class Pages:
    """One page, at once."""

    url = "https://lighthouses.example/skagen"

    async def search(self, query: str, count: int) -> list[Hit]:
        return [Hit("Skagen", self.url, "a lighthouse")]

    async def page(self, url: str) -> Page | None:
        return Page(url, "Skagen", "Skagen is a lighthouse.\nheight: 46\nyear: 1858")

    async def close(self) -> None:
        return None


# -------------------------------------------------------------------------------------------------------------- ours


class Clocked(PolicyWrapper):
    """Notes when a turn was sampled last."""

    def __init__(self, policy: Any, clock: Clock) -> None:
        super().__init__(policy)
        self._clock, self.last = clock, 0.0

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        completion = await super().complete(trajectory, tools)
        self.last = self._clock()
        return completion


class Wideseek:
    """Steps of this project's training, without its log and its files."""

    def __init__(self, setup: str, precision: str, threads: int, clock: Clock) -> None:
        self.clock = clock
        self.groups: list[Group] = []
        self.update: Any = None
        self._runner, self._open = asyncio.Runner(), AsyncExitStack()
        self.config = marl_config(setup, precision, threads)
        self._runner.run(self._pocket() if setup == "pocket" else self._forced(setup))

    async def _forced(self, setup: str) -> None:
        model = random_model()
        self.engine = LocalEngine(CONFIG, model.state_dict(), **self.config.team.local.model_dump())
        roles = [Role(r.name, r.tools, 4, WIDTH, 4096) for r in (LEAD, SUB, SINGLE)]
        policy = Clocked(Forced(self.engine), self.clock)
        self.team = Team({"lead": policy}, Pages(), roles={role.name: role for role in roles})
        self._open.push_async_callback(policy.close)
        prepare(model)
        self.learner = PolicyLearner(model, self.config)
        self.questions = [
            Question(n, Task(instance_id=f"{n}", question=f"question {n}", answer=ANSWER), WIDTH, n)
            for n in range(QUESTIONS)
        ]

    async def _pocket(self) -> None:
        config = team_config(self.config, self.config.model)
        self.team = await self._open.enter_async_context(open_team(config, Journal(), Budget()))
        self.engine = trained_engine(self.team, self.config)
        policy = Clocked(self.team.policies["lead"], self.clock)
        self.team.policies = dict.fromkeys(self.team.policies, policy)
        self.learner = PolicyLearner(load_model(self.config.model), self.config)
        self.questions = [Questions(self.config)[n] for n in range(QUESTIONS)]

    def step(self) -> Step:
        return self._runner.run(self._step())

    async def _step(self) -> Step:
        marks = [self.clock()]
        made = (make_group(question, self.team, self.config, None, rewarding) for question in self.questions)
        self.groups = await asyncio.gather(*made)
        policy = self.team.policies["lead"]
        assert isinstance(policy, Clocked)
        rollouts = [rollout for group in self.groups for rollout in group.rollouts]
        samples = policy_samples(rollouts, [a for group in self.groups for a in group.advantages])
        marks += [policy.last, self.clock()]
        self.update = self.learner.step(samples)
        marks.append(self.clock())
        await self.engine.load(self.learner.weights())
        marks.append(self.clock())
        seconds = {name: end - begin for name, (begin, end) in zip(PHASES, pairwise(marks), strict=True)}
        return Step(sampled_tokens(self.groups), seconds)

    def close(self) -> None:
        self._runner.run(self._open.aclose())
        self._runner.close()


def marl_config(setup: str, precision: str, threads: int) -> MarlConfig:
    nano = {
        "prompts": "nano",
        "lead": {"max_turns": 4, "max_calls": 10, "context_tokens": 2048},
        "sub": {"max_turns": 6, "max_calls": 5, "context_tokens": 1024},
        "sampling": {"temperature": 1.0, "max_tokens": 256},
    }
    workflow = "single" if setup == "one turn" else "team"
    return MarlConfig.model_validate(
        {
            "model": str(bundled_model("nano-base")),
            "out": "unused",
            "group": GROUP,
            "questions": QUESTIONS,
            "widths": [5],
            "credit": "all",
            "precision": precision,
            "optimizer": OPTIMIZER,
            "team": {
                "workflow": workflow,
                "local": {"threads": threads, "max_batch": 256},
                **(nano if setup == "pocket" else {}),
            },
        }
    )


def rewarding(rollout: Rollout, score: Score) -> Reward:
    """Differs within every group, so that all of them teach."""
    return Reward(float(rollout.trial))


def random_model() -> Any:
    torch.manual_seed(0)
    return Qwen3ForCausalLM(copy.deepcopy(CONFIG)).eval()


# --------------------------------------------------------------------------------------------------------------- TRL


@dataclass
class Episode:
    """One agent's conversation, to be replayed."""

    role: str
    turns: list[Planned]

    @property
    def new(self) -> int:
        return sum(turn.new for turn in self.turns)


def trace(groups: Sequence[Group]) -> list[Episode]:
    """What every agent was told and how much it said, as many agents as fill TRL's groups."""
    agents = [run for group in groups for rollout in group.rollouts for run in rollout.trajectories]
    episodes = [Episode(run.role, [planned(turn.completion) for turn in run.turns]) for run in agents]
    return episodes[: len(episodes) // GROUP * GROUP]


def planned(completion: Completion) -> Planned:
    return Planned(completion.prompt_ids or [], len(completion.completion_ids or []))


@dataclass
class Trl:
    """Steps of TRL's trainer over `episodes`."""

    model: Any
    episodes: list[Episode]
    bf16: bool
    cache: str
    micro: int
    clock: Clock
    marks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
        warnings.simplefilter("ignore", FutureWarning)
        from transformers import PrinterCallback, TrainerCallback
        from trl import GRPOConfig, GRPOTrainer

        outer = self
        self._folder = tempfile.TemporaryDirectory()

        class Timed(GRPOTrainer):
            """Tells when generation and scoring ended."""

            def _generate(self, prompts: list[Any]) -> Any:
                generated = super()._generate(prompts)
                outer.marks.append(outer.clock())
                return generated

            def _generate_and_score_completions(self, inputs: Any) -> Any:
                scored = super()._generate_and_score_completions(inputs)
                outer.marks.append(outer.clock())
                return scored

        class Around(TrainerCallback):
            """Tells when a step began and ended."""

            def on_step_begin(self, *_: Any, **__: Any) -> None:
                outer.marks = [outer.clock()]

            def on_step_end(self, *_: Any, **__: Any) -> None:
                outer.marks.append(outer.clock())

        micro = next(size for size in range(self.micro, 0, -1) if len(self.episodes) % size == 0)
        cache = None if self.cache == "dynamic" else self.cache
        settings = GRPOConfig(
            output_dir=self._folder.name, per_device_train_batch_size=micro,
            gradient_accumulation_steps=len(self.episodes) // micro, num_generations=GROUP, max_steps=1,
            max_completion_length=4096, temperature=1.0, beta=0.0, loss_type="grpo", epsilon=0.2, epsilon_high=0.28,
            delta=10.0, learning_rate=OPTIMIZER["lr"], adam_beta1=0.9, adam_beta2=0.95, weight_decay=0.0,
            max_grad_norm=1.0, gradient_checkpointing=False, bf16=self.bf16, use_cpu=True, disable_tqdm=True,
            cache_implementation=cache, report_to="none", logging_strategy="no", save_strategy="no",
            shuffle_dataset=False, dataloader_pin_memory=False,
        )  # fmt: skip
        self.trainer = Timed(
            model=self.model,
            reward_funcs=lambda completions, **_: [float(number % GROUP) for number in range(len(completions))],
            args=settings,
            train_dataset=questions(len(self.episodes) // GROUP),
            processing_class=words(self.model.config.vocab_size),
            callbacks=[Around()],
            rollout_func=self.rollout,
        )
        self.trainer.remove_callback(PrinterCallback)

    def rollout(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """All episodes, role by role and turn by turn: the agents that have one more turn in one batch."""
        ids: list[list[int]] = [[] for _ in self.episodes]
        mask: list[list[int]] = [[] for _ in self.episodes]
        for role in sorted({episode.role for episode in self.episodes}):
            members = [at for at, episode in enumerate(self.episodes) if episode.role == role]
            for number in range(max(len(self.episodes[at].turns) for at in members)):
                running = {
                    at: self.episodes[at].turns[number] for at in members if len(self.episodes[at].turns) > number
                }
                for at, turn in running.items():
                    ids[at] += turn.delta
                    mask[at] += [0] * len(turn.delta)
                trainer.generation_config.max_new_tokens = max(turn.new for turn in running.values())
                said, _ = trainer._generate_single_turn([ids[at] for at in running], None, {}, 1)
                for (at, turn), new in zip(running.items(), said, strict=True):
                    assert len(new) >= turn.new
                    ids[at] += new[: turn.new]
                    mask[at] += [1] * turn.new
        starts = [len(episode.turns[0].delta) for episode in self.episodes]
        return {
            "prompt_ids": [one[:start] for one, start in zip(ids, starts, strict=True)],
            "completion_ids": [one[start:] for one, start in zip(ids, starts, strict=True)],
            "env_mask": [one[start:] for one, start in zip(mask, starts, strict=True)],
            "logprobs": None,
        }

    def step(self) -> Step:
        self.trainer.train()
        begin, generated, scored, end = self.marks
        seconds = {"generation": generated - begin, "scoring": scored - generated, "learning": end - scored}
        return Step(sum(episode.new for episode in self.episodes), {**seconds, "weights": 0.0})

    def warm(self) -> None:
        """A short step, for imports and allocators."""
        episodes = self.episodes
        self.episodes = [Episode(e.role, [Planned(e.turns[0].delta[:16], 4)]) for e in episodes]
        self.step()
        self.episodes = episodes

    def close(self) -> None:
        self._folder.cleanup()


def questions(count: int) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"prompt": [f"t{number}" for number in range(count)]})


def words(vocabulary: int) -> Any:
    """A tokenizer of one word per token; its stop token is none that the model can sample."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = Tokenizer(models.WordLevel({f"t{n}": n for n in range(vocabulary)} | {"stop": vocabulary}, "t0"))
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token="stop", pad_token="t0")


def unstopped(setup: str) -> Any:
    """A fresh copy of a setup's model that no token stops."""
    model = random_model()
    if setup == "pocket":
        with silent():
            model = Qwen3ForCausalLM.from_pretrained(bundled_model("nano-base"))
    model.generation_config.eos_token_id = None
    return model


# ---------------------------------------------------------------------------------------------------------- measuring


@dataclass
class Row:
    """One engine on one setup; `times` is how many times as fast as TRL in the same dtype it is, `times_fp32` as TRL in
    fp32."""

    setup: str
    engine: str
    seconds: float
    tokens_per_s: float
    phases: dict[str, float]
    times: float
    times_fp32: float


def measured(setup: str, repeat: int, threads: int, clock: Clock, micro: int | None, cache: str) -> list[Row]:
    ours = {
        "wideseek fp32": Wideseek(setup, "fp32", threads, clock),
        "wideseek bf16": Wideseek(setup, "bf16", threads, clock),
    }
    for engine in ours.values():  # once unmeasured, for imports, allocators and the trace
        engine.step()
    episodes = trace(ours["wideseek fp32"].groups)
    told(setup, ours["wideseek fp32"])
    theirs = {
        "TRL fp32": Trl(unstopped(setup), episodes, False, cache, micro or MICRO["fp32"], clock),
        "TRL bf16": Trl(unstopped(setup), episodes, True, cache, micro or MICRO["bf16"], clock),
    }
    for trl in theirs.values():
        trl.warm()
    engines: dict[str, Any] = {**theirs, **ours}
    steps: dict[str, list[Step]] = {name: [] for name in engines}
    for _ in range(repeat):
        for name, engine in engines.items():
            steps[name].append(engine.step())
    for engine in engines.values():
        engine.close()
    return compared(setup, {name: min(found, key=lambda step: step.total) for name, found in steps.items()})


def told(setup: str, ours: Wideseek) -> None:
    """The lengths that came out."""
    lengths = {}
    for role in ("single", "lead", "sub"):
        runs = [r for g in ours.groups for rollout in g.rollouts for r in rollout.trajectories if r.role == role]
        sizes = [len(list(history(run))) for run in runs]
        said = sum(len(turn.completion.completion_ids or ()) for run in runs for turn in run.turns)
        if runs:
            shape = f"{statistics.fmean(sizes):.0f} tokens ({min(sizes)}-{max(sizes)})"
            turns_each = statistics.fmean(len(run.turns) for run in runs)
            lengths[role] = f"{len(runs)} {role}: {shape}, {said / sum(sizes):.0%} sampled, {turns_each:.1f} turns"
    update = ours.update
    click.echo(
        f"{setup}: {'; '.join(lengths.values())}; computed when learning {update.tokens:,} of {update.merged:,} tokens "
        f"({update.by_turn:,} by turn)",
        err=True,
    )


def compared(setup: str, best: dict[str, Step]) -> list[Row]:
    speed = {name: step.tokens / step.total for name, step in best.items()}
    return [
        Row(
            setup,
            name,
            step.total,
            speed[name],
            {phase: seconds / step.total for phase, seconds in step.seconds.items()},
            speed[name] / speed[f"TRL {name.split()[1]}"],
            speed[name] / speed["TRL fp32"],
        )
        for name, step in best.items()
    ]


@click.command()
@click.option("--repeat", default=3, show_default=True, help="Steps of each; the best counts.")
@click.option("--threads", default=1, show_default=True, help="Threads of torch, for all.")
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
@click.option("--setup", "setups", multiple=True, default=SETUPS, show_default=True, type=click.Choice(SETUPS))
@click.option("--micro", type=int, help="Sequences of TRL's micro-batches; unset: 2 in fp32, 8 in bf16.")
@click.option("--cache", type=click.Choice(["dynamic", "static"]), default=CACHE, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    repeat: int, threads: int, clock: str, setups: tuple[str, ...], micro: int | None, cache: str, as_json: bool
) -> None:
    """Measure all engines on all setups."""
    if not available():
        raise click.ClickException(MISSING)
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    bench(repeat, threads, clock, as_json, setups, micro, cache)


def bench(
    repeat: int,
    threads: int,
    clock: str,
    as_json: bool,
    setups: Sequence[str] = SETUPS,
    micro: int | None = None,
    cache: str = CACHE,
) -> None:
    """Measure, and print."""
    rows = [row for setup in setups for row in measured(setup, repeat, threads, CLOCKS[clock], micro, cache)]
    if as_json:
        setting = {"repeat": repeat, "threads": threads, "clock": clock, "micro": micro, "cache": cache}
        print(json.dumps({**setting, "rows": [vars(row) for row in rows]}))
    else:
        show(rows, f"a whole step of GRPO; {threads} thread(s), {clock} clock, best of {repeat}")


def available() -> bool:
    return find_spec("trl") is not None


def show(rows: Sequence[Row], title: str) -> None:
    grid = Table("setup", "engine", "s a step", "tok/s", *PHASES, "times TRL", "times TRL fp32", "target", title=title)
    for row in rows:
        shares = (f"{row.phases[phase]:.0%}" for phase in PHASES)
        target = ">= 3, goal 5" if row.engine.startswith("wideseek") else ""
        times = (f"{row.times:.2f}", f"{row.times_fp32:.2f}")
        grid.add_row(row.setup, row.engine, f"{row.seconds:.2f}", f"{row.tokens_per_s:,.0f}", *shares, *times, target)
    Console(width=140).print(grid)


if __name__ == "__main__":
    main()
