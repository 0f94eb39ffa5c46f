"""Several width studies as one record and one picture: what is in docs/studies/width.json and docs/figures/width.png.

    python bench/width.py --out docs/studies/width.json --picture docs/figures/width.png \\
        "nano, at most 4 turns=runs/long/nano-turns-4" "nano, at most 60 turns=runs/long/nano" ...

Each NAME=FOLDER is a folder of `wideseek study width`. Studies whose names begin alike (up to the comma) share two
charts: item F1 against width, and against critical steps. The record has a study's points as `--json` gives them, and
each team against the widest and against the single agent, task by task.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from wideseek.evals.compare import compare
from wideseek.evals.plots import Axis, Chart, Point, Series, at_values, save_png
from wideseek.evals.study import Study, StudyPoint, load_study
from wideseek.evals.study_page import points_table

Named = dict[str, Study]


def record(study: Study) -> dict[str, Any]:
    """The limits, the points, and paired differences of item F1: B minus A."""
    team, alone = study.arm("width"), study.arm("turns")
    pairs = [(narrower, team[-1]) for narrower in team[:-1]]
    pairs += [(alone[-1], point) for point in team if alone]
    differences = []
    for a, b in pairs:
        found = next(d for d in compare(a.run, b.run).differences if d.metric == "item_f1" and d.mode == "strict")
        kept = {"difference": found.difference, "ci95": found.ci95, "p": found.p}
        differences.append({"a": a.run.folder.name, "b": b.run.folder.name, **kept})
    return {"limits": str(study.plan.limits), "points": points_table(study), "differences": differences}


def charts(studies: Named) -> list[Chart]:
    found = []
    for model in dict.fromkeys(name.partition(",")[0] for name in studies):
        own = {name.partition(", ")[2]: study for name, study in studies.items() if name.partition(",")[0] == model}
        f1 = Axis("item F1", low=0.0, high=1.0)
        values = [point.value for study in own.values() for point in study.arm("width")]
        by_width = [Series(n, [_point(p, p.value) for p in s.arm("width")]) for n, s in own.items()]
        found.append(Chart(f"{model}: width", at_values("subagents per round (largest number)", values), f1, by_width))
        by_steps = [
            Series(n, [_point(p, p.cost("critical steps"), str(p.value)) for p in s.arm("width")])
            for n, s in own.items()
        ]
        alone = [_point(p, p.cost("critical steps")) for s in own.values() for p in s.arm("turns")]
        by_steps += [Series("one agent alone", alone, kind="dots", colour=3)] if alone else []
        steps = Axis("critical steps per attempt; beside a point its width", low=0.0)
        found.append(Chart(f"{model}: critical steps", steps, f1, by_steps))
    return found


def _point(point: StudyPoint, x: float, label: str = "") -> Point:
    low, high = point.item_f1.ci95 or (None, None)
    return Point(x, point.item_f1.avg, low, high, label=label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    given = parser.parse_args()

    studies = {name: load_study(Path(folder)) for name, _, folder in (one.rpartition("=") for one in given.studies)}
    records = {name: record(study) for name, study in studies.items()}
    given.out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    tasks = next(iter(studies.values())).points[0].item_f1.tasks
    footer = f"{tasks} tables of 10 to 12 rows, greedy, strict scores; bars: 95 % intervals over tables"
    save_png(charts(studies), given.picture, title="Width, where turns are the cap and where not", footer=footer)


if __name__ == "__main__":
    main()
