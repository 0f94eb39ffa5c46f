"""A hundred kills at named points of `ask`, `eval` and `train`: what is resumed is the result of an unbroken run.

The point is a function of wideseek, and the process gets SIGKILL when it is called for the nth time: no time is in it.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.points import signalled_at
from tests.training import training, weights
from wideseek.evals.folder import load_run

HOME = Path(__file__).parents[1]
QUESTION = "List all chemical elements of group 18 with their symbol and mass."

# Where each command can be killed, and up to which call of that point it has work.
ASK = {
    "wideseek.journal:Journal.record": 38,
    "wideseek.journal:Journal._write": 39,
    "wideseek.policy.scripted:Expert.complete": 24,
    "wideseek.api:_claim": 1,
    "wideseek.api:_result": 1,
    "wideseek.files:write_whole": 3,
}
EVAL = {
    "wideseek.journal:Journal.record": 30,
    "wideseek.policy.scripted:Expert.complete": 20,
    "wideseek.files:write_whole": 3,
}
TRAIN = {
    "wideseek.train.learner:Learner.step": 12,
    "wideseek.train.sft:save_checkpoint": 6,
    "torch:save": 6,
}


def drawn(points: dict[str, int], count: int, seed: int) -> list[tuple[str, int]]:
    """So many points, with the number of the call."""
    draw = random.Random(seed)
    return [(point, draw.randint(1, points[point])) for point in (draw.choice(sorted(points)) for _ in range(count))]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "wideseek", *map(str, arguments)]
    return subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)


def killed(point: str, number: int, *arguments: object) -> None:
    ended = subprocess.run(
        signalled_at(point, number, *arguments), cwd=HOME, capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, f"{point} {number}: {ended.returncode} {ended.stderr}"


def told(answer: str) -> dict[str, Any]:
    """What two runs of one question have to agree on."""
    said = json.loads(answer)
    calls = said["usage"]["calls"]
    return {name: said[name] for name in ("status", "reason", "columns", "rows", "evidence", "cells")} | {
        "calls": calls
    }


def asked(count: int, folder: Path) -> None:
    whole = run("ask", QUESTION, "--model", "expert", "--run-dir", folder / "whole", "--json")
    assert whole.returncode == 0, whole.stderr
    for at, (point, number) in enumerate(drawn(ASK, count, 1)):
        out = folder / f"run-{at}"
        arguments = ("ask", QUESTION, "--model", "expert", "--run-dir", out, "--json")
        killed(point, number, *arguments)
        again = run(*arguments)
        assert again.returncode == 0, again.stderr
        assert told(again.stdout) == told(whole.stdout), (point, number)


def evaluated(count: int, folder: Path) -> None:
    def command(out: Path) -> tuple[object, ...]:
        return (
            "eval",
            "pocket",
            "--split",
            "test",
            "--kind",
            "wide",
            "--limit",
            3,
            "--model",
            "expert",
            "--out",
            out,
            "--json",
        )

    def scores(out: Path) -> list[Any]:
        return [row.scores for row in load_run(out).attempts]

    whole = run(*command(folder / "whole"))
    assert whole.returncode == 0, whole.stderr
    for at, (point, number) in enumerate(drawn(EVAL, count, 2)):
        out = folder / f"run-{at}"
        killed(point, number, *command(out))
        again = run(*command(out))
        assert again.returncode == 0, again.stderr
        assert scores(out) == scores(folder / "whole"), (point, number)


def trained(count: int, folder: Path) -> None:
    def figures(out: Path) -> list[Any]:
        return [
            (line["step"], line.get("loss"))
            for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
        ]

    options = {"steps": 12, "save_every": 2, "tokens_per_step": 800, "data__held_out": []}
    whole = run("train", training(folder, **options), "-q")
    assert whole.returncode == 0, whole.stderr
    wanted = weights(folder / "out" / "model")
    for at, (point, number) in enumerate(drawn(TRAIN, count, 3)):
        out = folder / f"run-{at}"
        config = training(folder, **options, out=str(out))
        killed(point, number, "train", config, "-q")
        again = run("train", config, "--resume", "-q")
        assert again.returncode == 0, again.stderr
        assert figures(out) == figures(folder / "out"), (point, number)
        found = weights(out / "model")
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items()), (point, number)


@pytest.mark.slow
@pytest.mark.parametrize(("work", "kills"), [(asked, 50), (evaluated, 30), (trained, 20)])
def test_a_hundred_kills_at_named_points_are_resumed_to_the_same_result(work, kills, tmp_path):
    work(kills, tmp_path)
