"""The figures of a build: what `wideseek eval` and `wideseek study` say of the models on the pocket world.

Everything is greedy unless it says sampled, at width 10 unless it says otherwise. The runs lie beside the figures, in a
folder for each state of a model (`runs_of`), so that no weights get the figures of others.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

from nano.recipe import digest
from nano.stages import stages
from wideseek.answer import final_table
from wideseek.assets import bundled_model
from wideseek.evals.folder import EvalRun, load_run
from wideseek.evidence import trace
from wideseek.records import Rollout, Task
from wideseek.table import Table

TURNS, CONTEXT = "20", "2048"  # of every agent, in the team and alone
WIDTHS = "1,2,3,5,10"
SOME = ("-n", "100")  # tables: of a split the first ones, for what is compared and not reported as the score
SAMPLED = ("--set", "sampling.temperature=1.0")


def write_figures(out: Path) -> dict[str, Any]:
    """Evaluate both bundled models and write the figures into `out`. What was evaluated before is not done again."""
    nano, base = (runs_of(bundled_model(name), out) for name in ("nano", "nano-base"))
    alone = ("--workflow", "single", "--set", f"single.max_turns={TURNS}", "--set", f"single.context_tokens={CONTEXT}")
    figures: dict[str, Any] = {
        "test": evaluated(nano / "test-wide", "nano", "test", "wide"),
        "test_deep": evaluated(nano / "test-deep", "nano", "test", "deep"),
        "test_single": evaluated(nano / "test-single", "nano", "test", "wide", *alone, *SOME),
        "base_dev": evaluated(base / "dev", "nano-base", "dev", "wide", *SOME),
        "base_dev_sampled": evaluated(base / "dev-sampled", "nano-base", "dev", "wide", *SAMPLED, *SOME),
    }
    rollouts = list(load_run(nano / "test-wide").rollouts())
    figures["right_cells_supported"] = right_cells_supported(rollouts)
    figures["stages"] = stages(rollouts)
    figures["kinds"] = kinds(load_run(nano / "test-wide"))
    figures["widths"] = widths(nano / "width", "nano")
    out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
    return figures


def runs_of(model: Path, figures: Path) -> Path:
    """Where the evaluations of a model in this folder lie: another place once it has changed, its card aside."""
    state = digest(path for path in sorted(model.iterdir()) if path.name != "README.md")
    return figures.parent / f"{model.name}-{state}"


def evaluated(run: Path, model: str, split: str, kind: str, *options: str) -> dict[str, Any]:
    """The summary of an evaluation, made now or before."""
    wideseek(*("eval", "pocket", "--split", split, "--kind", kind, "--model", model, "--out", str(run)), *options)
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    kept = ("tasks", "item_f1", "row_f1", "success", "em", "supported", "official")
    return {name: summary[name] for name in kept if summary.get(name) is not None}


def widths(out: Path, model: str) -> dict[str, float]:
    """Item F1 by width on the first tables of test, every agent with the same limits."""
    limits = ("--turn-limit", TURNS, "--context-limit", CONTEXT, *SOME)
    wideseek("study", "width", "--values", WIDTHS, *limits, "--model", model, "--out", str(out))
    with (out / "study.csv").open(encoding="utf-8", newline="") as file:
        return {row["value"]: float(row["item_f1"]) for row in csv.DictReader(file)}


def wideseek(*arguments: str) -> None:
    subprocess.run([Path(sys.executable).with_name("wideseek"), *arguments], check=True)


def kinds(run: EvalRun) -> dict[str, tuple[int, float]]:
    """Tables and mean item F1 by what is asked: plain lists, those with a test, those with names in other letters."""
    found: dict[str, list[float]] = {}
    tasks = {task.instance_id: task for task in run.tasks}
    for attempt in run.attempts:
        found.setdefault(kind_of(tasks[attempt.instance_id]), []).append(attempt.scores["strict"]["f1_by_item"])
    return {kind: (len(scores), sum(scores) / len(scores)) for kind, scores in sorted(found.items())}


def kind_of(task: Task) -> str:
    names = "".join(row[0] for row in Table.from_markdown(str(task.answer)).rows)
    if any(letter.isalpha() and not unicodedata.name(letter, "").startswith("LATIN") for letter in names):
        return "foreign"
    return "tested" if task.meta.get("filter") or task.meta.get("extreme") else "plain"


def right_cells_supported(rollouts: list[Rollout]) -> float:
    """The share of the cells that agree with the gold table, of all answers, for which evidence was found."""
    right = supported = 0
    for rollout in rollouts:
        said, gold = final_table(rollout.answer), Table.from_markdown(str(rollout.task.answer))
        if said is None or said.columns[:1] != gold.columns[:1]:
            continue
        known = {row[0]: dict(zip(gold.columns, row, strict=True)) for row in gold.rows}
        for row, proofs in zip(said.rows, trace(said, said.columns[:1], rollout), strict=True):
            for column, cell, proof in zip(said.columns, row, proofs, strict=True):
                if known.get(row[0], {}).get(column) == cell:
                    right += 1
                    supported += proof.status == "supported"
    return supported / max(1, right)
