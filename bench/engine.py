"""The local engine against Hugging Face `generate`, side by side in one run, on a Qwen3 of 4.03 M parameters.

    python bench/engine.py [--repeat 2] [--threads 1] [--clock wall] [--dtype float32] [--setup episodes] [--json]

Random weights: hidden 192, 6 layers, 6 heads over 2 key heads of 32, intermediate 768, vocabulary 4,096, tied. All
engines sample at temperature 1, and none stops before its count; ours returns log-probabilities besides.

* **one turn**: 64 prompts of 512 tokens, 128 new ones each.
* **episodes**: 4 leads (3 turns) with 6 subagents each (4 turns), ragged as real ones are: a system prompt that all
  share by role, then what each turn appends (a trace, the same for all engines) and how many tokens it samples.
  `generate` is used as one does: all agents of a role in one batch, padded on the left, turn by turn, the history
  computed again; a batch ends with its longest turn. Ours runs each agent on its own, as the loop does.

tok/s are new tokens over seconds, prompts included; the best of the repeats, in which the engines take turns, each
with prompts that nobody has seen. `--clock cpu` counts this process's processor time instead of the wall's, for a
machine that others use too (with one thread the two are the same on one that nobody else uses). *bound* is what the
model's matrix products alone would take at the speed measured here (512 rows for prompts, 64 for new tokens, each
distinct token once): no attention, norms or sampling, so nothing reaches it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import linear
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from wideseek.policy.local import LocalEngine
from wideseek.policy.token import Request

CONFIG = Qwen3Config(
    hidden_size=192, num_hidden_layers=6, vocab_size=4096, num_attention_heads=6, num_key_value_heads=2, head_dim=32,
    intermediate_size=768, tie_word_embeddings=True, max_position_embeddings=4096, pad_token_id=0, eos_token_id=None,
)  # fmt: skip
PROMPTS, PROMPT, NEW = 64, 512, 128
LEADS, SUBS = 4, 6
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
TARGETS = {"one turn": (1.5, 2.5), "episodes": (2.0, 3.0)}


@dataclass
class Turn:
    """What is appended, and how many tokens are sampled then."""

    delta: list[int]
    new: int


Agent = list[Turn]


@dataclass
class Trace:
    """Leads and, of each, its subagents, which run between its first turn and its second."""

    leads: list[Agent]
    subs: list[list[Agent]]
    shared: int
    """how many tokens of prompts are those of another agent"""

    @property
    def agents(self) -> list[Agent]:
        return [*self.leads, *(sub for subs in self.subs for sub in subs)]

    @property
    def new(self) -> int:
        return sum(turn.new for agent in self.agents for turn in agent)

    @property
    def prompt(self) -> int:
        return sum(len(turn.delta) for agent in self.agents for turn in agent) - self.shared


def one_turn(seed: int) -> Trace:
    draw = random.Random(seed)
    return Trace([[Turn(tokens(draw, PROMPT), NEW)] for _ in range(PROMPTS)], [[] for _ in range(PROMPTS)], 0)


def episodes(seed: int) -> Trace:
    draw = random.Random(seed)
    lead_system, sub_system = tokens(draw, 240), tokens(draw, 200)

    def lead() -> Agent:
        opening = Turn(lead_system + tokens(draw, draw.randrange(20, 50)), draw.randrange(60, 120))
        return [opening, *(Turn(tokens(draw, draw.randrange(200, 400)), draw.randrange(60, 160)) for _ in range(2))]

    def sub() -> Agent:
        opening = Turn(sub_system + tokens(draw, draw.randrange(15, 40)), draw.randrange(12, 40))
        return [opening, *(Turn(tokens(draw, draw.randrange(60, 250)), draw.randrange(12, 60)) for _ in range(3))]

    leads = [lead() for _ in range(LEADS)]
    subs = [[sub() for _ in range(SUBS)] for _ in range(LEADS)]
    return Trace(leads, subs, 240 * (LEADS - 1) + 200 * (LEADS * SUBS - 1))


def tokens(draw: random.Random, count: int) -> list[int]:
    return [draw.randrange(1, CONFIG.vocab_size) for _ in range(count)]


# --------------------------------------------------------------------------------------------------------- the engines


def generate(model: Any, cache: str, trace: Trace) -> int:
    """The trace by `generate`; returns how many tokens it sampled."""
    leads: list[list[int]] = [[] for _ in trace.leads]
    subs = [agent for group in trace.subs for agent in group]
    done = batch_turn(model, cache, leads, [lead[0] for lead in trace.leads])
    histories: list[list[int]] = [[] for _ in subs]
    for turn in range(max(map(len, subs), default=0)):
        done += batch_turn(model, cache, histories, [sub[turn] for sub in subs])
    for turn in range(1, len(trace.leads[0])):
        done += batch_turn(model, cache, leads, [lead[turn] for lead in trace.leads])
    return done


def batch_turn(model: Any, cache: str, histories: list[list[int]], turns: list[Turn]) -> int:
    """One turn of all agents; their histories grow by what was appended and sampled."""
    for history, turn in zip(histories, turns, strict=True):
        history += turn.delta
    longest = max(map(len, histories))
    ids = torch.tensor([[0] * (longest - len(history)) + history for history in histories])
    mask = torch.tensor([[0] * (longest - len(history)) + [1] * len(history) for history in histories])
    most = max(turn.new for turn in turns)
    kind = {"cache_implementation": cache, "disable_compile": True} if cache == "static" else {}
    out = model.generate(
        ids, attention_mask=mask, max_new_tokens=most, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, **kind
    )
    for history, turn, row in zip(histories, turns, out[:, longest:].tolist(), strict=True):
        history += row[: turn.new]
        assert len(row) == most
    return sum(turn.new for turn in turns)


def ours(engine: LocalEngine, trace: Trace) -> int:
    """The trace by the local engine, every agent on its own."""

    async def run(history: list[int], turns: Agent) -> int:
        for turn in turns:
            history += turn.delta
            result = await engine.sample(Request(list(history), turn.new, (), 1.0, 1.0, len(history)))
            assert len(result.ids) == turn.new
            history += result.ids
        return sum(turn.new for turn in turns)

    async def team(lead: Agent, subs: list[Agent]) -> int:
        history: list[int] = []
        done = await run(history, lead[:1])
        done += sum(await asyncio.gather(*(run([], sub) for sub in subs)))
        return done + await run(history, lead[1:])

    async def all_teams() -> int:
        return sum(await asyncio.gather(*map(team, trace.leads, trace.subs)))

    return asyncio.run(all_teams())


# ----------------------------------------------------------------------------------------------------------- measuring


@dataclass
class Row:
    """One engine on one setup."""

    setup: str
    dtype: str
    engine: str
    seconds: float
    tokens_per_s: float = 0.0
    to_hf: float | None = None
    """ours only: how many times the best of `generate` in this dtype"""
    to_bound: float = 0.0


@click.command()
@click.option("--repeat", default=2, show_default=True, help="Runs of each engine; the best counts.")
@click.option("--threads", default=1, show_default=True, help="Threads of torch, for all engines.")
@click.option("--dtype", "dtypes", multiple=True, default=("float32", "bfloat16"), show_default=True)
@click.option("--setup", "setups", multiple=True, default=tuple(TARGETS), show_default=True)
@click.option("--clock", type=click.Choice(list(CLOCKS)), default="wall", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    repeat: int, threads: int, dtypes: tuple[str, ...], setups: tuple[str, ...], clock: str, as_json: bool
) -> None:
    """Measure all engines."""
    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(CONFIG).eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows: list[Row] = []
    for dtype in dtypes:
        rows += measured(model, dtype, setups, repeat, CLOCKS[clock])
    if as_json:
        print(
            json.dumps(
                {"parameters": parameters, "threads": threads, "clock": clock, "rows": [vars(row) for row in rows]}
            )
        )
    else:
        show(
            rows,
            f"Qwen3, {parameters / 1e6:.2f} M parameters; {threads} thread(s), {clock} seconds, best of {repeat}",
        )


def measured(model: Any, dtype: str, setups: tuple[str, ...], repeat: int, clock: Callable[[], float]) -> list[Row]:
    """All engines on all setups in one dtype."""
    hf = Qwen3ForCausalLM(CONFIG).to(getattr(torch, dtype)).eval()
    hf.load_state_dict(model.state_dict())
    engine = LocalEngine(CONFIG, model.state_dict(), dtype=dtype, device="cpu")  # type: ignore[arg-type]
    engines: dict[str, Callable[[Trace], int]] = {
        "HF generate, dynamic": lambda trace: generate(hf, "dynamic", trace),
        "HF generate, static": lambda trace: generate(hf, "static", trace),
        "wideseek": lambda trace: ours(engine, trace),
    }
    for run in engines.values():  # once unmeasured, for imports and allocators
        run(Trace([[Turn([1] * 64, 4)]] * 4, [[]] * 4, 0))
    rows: list[Row] = []
    for setup in setups:
        traces = [(one_turn if setup == "one turn" else episodes)(seed) for seed in range(repeat)]
        best = {name: float("inf") for name in engines}
        for trace in traces:
            for name, run in engines.items():
                begin = clock()
                assert run(trace) == trace.new
                # Traces differ a little in length: seconds are those of the first.
                best[name] = min(best[name], (clock() - begin) * traces[0].new / trace.new)
        rows += compared(setup, dtype, best, traces[0])
    asyncio.run(engine.close())
    return rows


def compared(setup: str, dtype: str, best: dict[str, float], trace: Trace) -> list[Row]:
    bound = bound_seconds(getattr(torch, dtype), trace)
    rows = [Row(setup, dtype, "bound", bound, trace.new / bound, None, 1.0)]
    for name, seconds in best.items():
        rows.append(Row(setup, dtype, name, seconds, trace.new / seconds, None, bound / seconds))
    rows[-1].to_hf = min(seconds for name, seconds in best.items() if name != "wideseek") / best["wideseek"]
    return rows


def bound_seconds(dtype: torch.dtype, trace: Trace) -> float:
    """What the matrix products of the trace take at the best speed seen here, every distinct token computed once."""
    hidden, heads = CONFIG.hidden_size, CONFIG.num_attention_heads * CONFIG.head_dim
    qkv = heads + 2 * CONFIG.num_key_value_heads * CONFIG.head_dim
    ff = CONFIG.intermediate_size
    layer = [(qkv, hidden), (hidden, heads), (2 * ff, hidden), (hidden, ff)]

    def products(rows: int, sizes: list[tuple[int, int]]) -> float:
        pairs = [(torch.randn(rows, size[1], dtype=dtype), torch.randn(size, dtype=dtype)) for size in sizes]
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            for x, weight in pairs:
                linear(x, weight)
            times.append(time.perf_counter() - begin)
        return min(times) / rows

    deep = CONFIG.num_hidden_layers
    prompt = deep * products(512, layer)
    new = deep * products(64, layer) + products(64, [(CONFIG.vocab_size, hidden)])
    return trace.prompt * prompt + trace.new * new


def show(rows: list[Row], title: str) -> None:
    grid = Table("setup", "dtype", "engine", "seconds", "tok/s", "of the bound", "times HF's best", "target, goal",
                 title=title)  # fmt: skip
    for row in rows:
        least, goal = TARGETS[row.setup]
        times = ("", "") if row.to_hf is None else (f"{row.to_hf:.2f}", f">= {least}, {goal}")
        grid.add_row(row.setup, row.dtype, row.engine, f"{row.seconds:.2f}", f"{row.tokens_per_s:,.0f}",
                     f"{row.to_bound:.2f}", *times)  # fmt: skip
    Console(width=130).print(grid)


if __name__ == "__main__":
    main()
