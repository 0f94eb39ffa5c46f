"""What lockstep costs: rollouts of one step with and without it, side by side in one run.

    python bench/lockstep.py [--config configs/nano-marl.toml] [--questions 8] [--repeat 3] [--json]

With `staleness = 0` the engine steps only while every agent waits for it (`concurrency.Lockstep`), which makes a
training repeatable bit for bit. Both ways answer the same questions with the same weights, in turns, from an empty
cache; tok/s are sampled tokens over seconds, and the best of the repeats counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path

import click
import torch

from wideseek.assembly import open_team
from wideseek.budget import Budget
from wideseek.concurrency import Lockstep
from wideseek.journal import Journal
from wideseek.team import Team
from wideseek.train.groups import make_group, sampled_tokens
from wideseek.train.loop import team_config, trained_engine
from wideseek.train.model import model_folder
from wideseek.train.questions import Questions
from wideseek.train.settings import MarlConfig, load_settings


async def seconds_a_token(config: MarlConfig, team: Team, lockstep: Lockstep | None) -> float:
    """One step's rollouts."""
    await trained_engine(team, config).forget()
    questions = Questions(config)
    started = time.perf_counter()
    branches = [lockstep.branch() if lockstep else contextlib.nullcontext() for _ in range(config.questions)]
    made = (make_group(questions[n], team, config, rolling_out=branch) for n, branch in enumerate(branches))
    groups = await asyncio.gather(*made)
    return (time.perf_counter() - started) / sampled_tokens(groups)


async def measured(config: MarlConfig, repeat: int) -> dict[str, float]:
    best = {"free": float("inf"), "lockstep": float("inf")}
    async with open_team(team_config(config, model_folder(config.model)), Journal(), Budget()) as team:
        for _ in range(repeat):
            for name in best:
                best[name] = min(
                    best[name], await seconds_a_token(config, team, Lockstep() if name == "lockstep" else None)
                )
    return {name: 1 / seconds for name, seconds in best.items()}


@click.command()
@click.option("--config", type=click.Path(path_type=Path, exists=True), default=Path("configs/nano-marl.toml"))
@click.option("--questions", default=8, show_default=True)
@click.option("--repeat", default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(config: Path, questions: int, repeat: int, as_json: bool) -> None:
    """Measure both ways."""
    chosen = load_settings(config, {"questions": questions})
    assert chosen.kind == "marl"
    torch.set_num_threads(chosen.threads or 1)
    speeds = asyncio.run(measured(chosen, repeat))
    ratio = speeds["lockstep"] / speeds["free"]
    if as_json:
        print(json.dumps({**speeds, "ratio": ratio}))
    else:
        print(f"free {speeds['free']:,.0f} tok/s, lockstep {speeds['lockstep']:,.0f} tok/s: {ratio:.2f} times")


if __name__ == "__main__":
    main()
