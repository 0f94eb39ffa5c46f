"""Ablations of a training: what each arm's runs were like, how far seeds differ, and one page about all of it.

    Run               one arm trained with one seed: item F1 on fixed questions before and after, what it took
    load_ablation     a study's folder -> Ablation: its plan, and the runs that have ended
    write_ablation    Ablation -> summary.json, study.csv, study.png, study.html

    OUT/ablation.json              `Plan`: the configuration, the arms, the seeds
    OUT/joint/seed-0/              the folder of a training, and result.json (`Run`) once it is measured
    OUT/summary.json               all runs and their spread: small enough to be committed

A spread is what the seeds gave, smallest to largest. A few seeds show how far runs differ, not whether arms do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import numpy as np

from wideseek.errors import BadInput, RunDirError
from wideseek.evals import page
from wideseek.evals.folder import write_whole
from wideseek.evals.plots import SHARE, Axis, Chart, Point, Series, at_values, save_png, to_svg
from wideseek.records import read_record

PLAN, RESULT = "ablation.json", "result.json"
DECODINGS = ("greedy", "sampled")
FORWARD, LEARNING = 2, 6  # FLOP per parameter and token: a multiplication and an addition; backward costs two forwards
Measured = dict[str, float]
"""Item F1 by decoding: `greedy` and `sampled` (`em` of short answers where they were asked)."""


class Plan(msgspec.Struct):
    """The record in ablation.json: `config` is what all arms share, `weights` the digest of those that all start from.

    `arms` says of each what it is.
    """

    config: dict[str, Any]
    questions: str
    arms: dict[str, str] = {}
    seeds: list[int] = []
    weights: str = ""
    format: int = 1


class Run(msgspec.Struct, kw_only=True):
    """One arm, trained with one seed.

    `start` and `final` are measured on the fixed questions; `probes` at the end, otherwise (`width 3`).
    `tokens`: how many were `sampled`, how many `prefilled` (given to the agents; of a step, what begins alike once),
    and how many `learnt` from, each as often as it was computed. `cpu_seconds` is the
    processor time of the last sitting, `seconds` the time of all sittings. `curve` has a line per measured step;
    `reward` is smoothed.
    """

    arm: str
    seed: int
    start: Measured
    final: Measured
    seconds: float
    cpu_seconds: float = 0.0
    steps: int = 0
    tokens: dict[str, int] = {}
    figures: dict[str, float] = {}
    probes: dict[str, Measured] = {}
    curve: list[tuple[int, Measured]] = []
    reward: list[tuple[int, float]] = []

    @property
    def compute(self) -> int:
        """FLOP per parameter: `FORWARD` for a token that was sampled or prefilled, `LEARNING` for one learnt from."""
        read = self.tokens.get("sampled", 0) + self.tokens.get("prefilled", 0)
        return FORWARD * read + LEARNING * self.tokens.get("learnt", 0)


class Spread(msgspec.Struct):
    """What the seeds gave: mean, smallest, largest."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ({self.low:.3f} to {self.high:.3f})" if self.low < self.high else "")


def spread(values: Iterable[float]) -> Spread | None:
    found = list(values)
    return Spread(round(fmean(found), 4), min(found), max(found)) if found else None


@dataclass(frozen=True)
class Ablation:
    """What is known so far; `missing` names the runs that have not ended."""

    folder: Path
    plan: Plan
    runs: list[Run]
    missing: list[str]

    def of(self, arm: str) -> list[Run]:
        return [run for run in self.runs if run.arm == arm]

    @property
    def arms(self) -> list[str]:
        """Those of which a run has ended, in the order of the plan."""
        return [arm for arm in self.plan.arms if self.of(arm)]


def run_name(arm: str, seed: int) -> str:
    """A run's folder within its study."""
    return f"{arm}/seed-{seed}"


def read_plan(folder: Path) -> Plan | None:
    """The plan of the study in `folder`, `None` where there is none. Raises `RunDirError` for what cannot be read."""
    path = folder / PLAN
    try:
        return read_record(path, Plan)
    except FileNotFoundError:
        return None
    except RunDirError as error:
        raise RunDirError(f"{error}; choose another --out") from error


def read_run(folder: Path) -> Run | None:
    """The result of a run, `None` where it has not ended."""
    try:
        return read_record(folder / RESULT, Run)
    except (FileNotFoundError, RunDirError):
        return None


def load_ablation(folder: Path) -> Ablation:
    """The study in `folder` as far as it has been run. Raises `RunDirError` where there is none."""
    plan = read_plan(folder)
    if plan is None:
        raise RunDirError(f"{folder}: no ablation here ({PLAN} is missing): see wideseek study ablation --help")
    places = [run_name(arm, seed) for arm in plan.arms for seed in plan.seeds]
    found = {place: read_run(folder / place) for place in places}
    return Ablation(
        folder, plan, [run for run in found.values() if run], [place for place, run in found.items() if run is None]
    )


# ---------------------------------------------------------------------------------------------------------- tables


def arm_spreads(study: Ablation, arm: str) -> dict[str, Spread]:
    """Of an arm: start and final item F1, what was gained, probes, seconds; each over its seeds."""
    runs = study.of(arm)
    values: dict[str, list[float]] = {}
    for run in runs:
        for name, value in _values(run).items():
            values.setdefault(name, []).append(value)
    return {name: found for name, of in values.items() if (found := spread(of)) is not None}


def _values(run: Run) -> dict[str, float]:
    """Everything measured of a run, by names that read as columns."""
    found: dict[str, float] = {}
    for decoding in DECODINGS:
        if decoding in run.start and decoding in run.final:
            start, final = run.start[decoding], run.final[decoding]
            found |= {f"start_{decoding}": start, f"final_{decoding}": final, f"gain_{decoding}": final - start}
    for probe, measured in run.probes.items():
        found |= {f"{probe.replace(' ', '_')}_{decoding}": value for decoding, value in measured.items()}
    work = {f"tokens_{name}": float(count) for name, count in run.tokens.items()}
    work |= {"compute": float(run.compute)} if run.tokens else {}
    return {**found, **run.figures, **work, "seconds": run.seconds, "cpu_seconds": run.cpu_seconds}


def runs_table(study: Ablation) -> list[dict[str, Any]]:
    """One row a run: the columns of study.csv."""
    rows = [{"arm": run.arm, "seed": run.seed, "steps": run.steps, **_values(run)} for run in study.runs]
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def summary(study: Ablation) -> dict[str, Any]:
    """The record in summary.json."""
    return {
        "format": study.plan.format,
        "model": study.plan.config.get("model"),
        "questions": study.plan.questions,
        "arms": study.plan.arms,
        "runs": study.runs,
        "spread": {arm: arm_spreads(study, arm) for arm in study.arms},
        "missing": study.missing,
        "config": study.plan.config,
    }


# ---------------------------------------------------------------------------------------------------------- charts


def charts(study: Ablation) -> list[Chart]:
    """The learning curve of the first trained arm, all arms side by side, and what the probes gave."""
    arms = study.arms if len(study.arms) > 1 else []
    parts = np.array_split(arms, max(1, math.ceil(len(arms) / ABREAST)))
    side_by_side = [_arms(study, [str(arm) for arm in some]) for some in parts if len(some)]
    found = [_learning(study), *side_by_side, _widths(study), _contexts(study)]
    return [chart for chart in found if chart is not None]


def _learning(study: Ablation) -> Chart | None:
    """The first trained arm: fixed questions beside the smoothed reward, which asks others at every step."""
    arm = next((arm for arm in study.arms if any(run.curve and run.reward for run in study.of(arm))), None)
    if arm is None:
        return None
    runs = study.of(arm)
    series = [
        Series(f"fixed questions, {decoding}", _over_seeds([dict(_decoded(run, decoding)) for run in runs]), colour=at)
        for at, decoding in enumerate(DECODINGS)
    ]
    rewards = _over_seeds([dict(run.reward) for run in runs], intervals=False)
    series.append(Series("reward, smoothed", rewards, colour=2))
    return Chart(f"Learning curve: {arm}", Axis("step"), Axis("item F1; reward", **_SHARE), series)


def _decoded(run: Run, decoding: str) -> Iterator[tuple[int, float]]:
    return ((step, measured[decoding]) for step, measured in run.curve if decoding in measured)


def _over_seeds(runs: Sequence[Mapping[int, float]], intervals: bool = True) -> list[Point]:
    """The mean over those seeds that have a value, with the spread."""
    spreads = [(x, spread(run[x] for run in runs if x in run)) for x in sorted({x for run in runs for x in run})]
    return [_point(x, found, f"{x:g}: {found}", intervals) for x, found in spreads if found is not None]


def _point(x: float, found: Spread, name: str, intervals: bool = True) -> Point:
    wide = intervals and found.low < found.high
    return Point(x, found.mean, found.low if wide else None, found.high if wide else None, name)


ABREAST = 5  # most arms of one chart: their names have to fit


def _arms(study: Ablation, arms: Sequence[str]) -> Chart:
    spreads = [arm_spreads(study, arm) for arm in arms]
    series = []
    for number, decoding in enumerate(DECODINGS):
        for when, shift, colour in (("final", 0.06, number), ("start", -0.2, number + 2)):
            found = [(at, of.get(f"{when}_{decoding}")) for at, of in enumerate(spreads)]
            x = shift + 0.12 * number
            points = [_point(at + x, s, f"{arms[at]}, {when}, {decoding}: {s}") for at, s in found if s]
            series.append(Series(f"{when}, {decoding}", points, kind="dots", colour=colour))
    ticks = [(float(at), arm) for at, arm in enumerate(arms)]
    axis = Axis("arm", low=-0.5, high=len(arms) - 0.5, ticks=ticks)
    return Chart("Before and after training", axis, Axis("item F1", **_SHARE), series)


WIDTH, CONTEXT = "width ", "single-"


def _widths(study: Ablation) -> Chart | None:
    """Sampled item F1 by width, of each arm that was asked at several."""
    series, tried = [], set()
    for arm in study.arms:
        measured = [
            {int(name.removeprefix(WIDTH)): at["sampled"] for name, at in run.probes.items() if name.startswith(WIDTH)}
            for run in study.of(arm)
        ]
        if points := _over_seeds(measured):
            tried |= {point.x for point in points}
            series.append(Series(arm, points))
    if not series:
        return None
    return Chart(
        "Width: subagents a turn", at_values("subagents a turn", tried), Axis("item F1, sampled", **_SHARE), series
    )


def _contexts(study: Ablation) -> Chart | None:
    """The single agent, trained and asked at each size of its context."""
    sizes = {int(arm.removeprefix(CONTEXT)): arm for arm in study.arms if arm.removeprefix(CONTEXT).isdigit()}
    if "single" in study.arms:
        sizes[study.plan.config["team"]["single"]["context_tokens"]] = "single"
    if len(sizes) < 2:
        return None
    series = []
    for when in ("start", "final"):
        spreads = [(size, arm_spreads(study, arm).get(f"{when}_sampled")) for size, arm in sorted(sizes.items())]
        points = [_point(size, found, f"{size:,} tokens, {when}: {found}") for size, found in spreads if found]
        series.append(Series({"start": "before", "final": "trained at it"}[when], points))
    x = at_values("context tokens of the single agent", sizes)
    return Chart("Depth: the single agent", x, Axis("item F1, sampled", **_SHARE), series)


_SHARE: dict[str, Any] = {"low": SHARE.low, "high": SHARE.high}


# --------------------------------------------------------------------------------------------------------- writing


def write_ablation(study: Ablation) -> list[Path]:
    """Write summary.json, study.csv, study.png (where matplotlib is installed) and study.html.

    Raises `BadInput` for a study of which no run has ended.
    """
    if not study.runs:
        raise BadInput(f"{study.folder}: no run of this study has ended yet: the same command goes on")
    place = study.folder / "summary.json"
    write_whole(place, summary(study))
    rows = runs_table(study)
    written = [place, page.write(study.folder / "study.csv", page.csv_text(list(rows[0]), rows))]
    notes = [_not_run(study.missing)] if study.missing else []
    picture = study.folder / "study.png"
    try:
        drawn = charts(study)
        if drawn:
            save_png(drawn, picture, title=_title(study), footer="\n".join([_about(study), *notes]))
            written.append(picture)
    except BadInput as error:
        notes.append(str(error))
    return [*written, page.write(study.folder / "study.html", to_html(study, notes))]


def _not_run(missing: Sequence[str], named: int = 5) -> str:
    more = f" and {len(missing) - named} more (summary.json)" if len(missing) > named else ""
    return f"Not run yet: {', '.join(missing[:named])}{more}."


def to_html(study: Ablation, notes: Sequence[str] = ()) -> str:
    """The study as one page."""
    listed = "".join(f"<li>{page.text(note)}</li>" for note in notes)
    return page.fill(
        "ablation.html",
        title=page.text(_title(study)),
        about=page.text(_about(study)),
        notes=f'<ul class="notes">{listed}</ul>' if listed else "",
        charts="".join(to_svg(chart) for chart in charts(study)),
        arms=_arms_html(study),
        runs=_runs_html(study),
    )


def _title(study: Ablation) -> str:
    return f"Ablation: {study.plan.config.get('model')} trained, {', '.join(study.arms)}"


def _about(study: Ablation) -> str:
    counts = {len(study.of(arm)) for arm in study.arms}
    seeds = f"{'up to ' if len(counts) > 1 else ''}{max(counts)} seeds"
    over = f"mean of {seeds}; bars: smallest to largest" if max(counts) > 1 else "one seed"
    return f"Item F1 on {study.plan.questions}; {over}"


def _arms_html(study: Ablation) -> str:
    columns = ["arm", "what it is", "start, sampled", "final, sampled", "start, greedy", "final, greedy", "seconds"]
    names = ["start_sampled", "final_sampled", "start_greedy", "final_greedy"]
    rows = []
    for arm in study.arms:
        spreads = arm_spreads(study, arm)
        cells = [str(spreads.get(name, "")) for name in names]
        rows.append([arm, study.plan.arms[arm], *cells, f"{spreads['seconds'].mean:,.0f}"])
    return page.table(columns, rows)


def _runs_html(study: Ablation) -> str:
    rows = runs_table(study)
    shown = [[_shown(value) for value in row.values()] for row in rows]
    return page.table([name.replace("_", " ") for name in rows[0]], shown, style="figures")


def _shown(value: float | str | None) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)
