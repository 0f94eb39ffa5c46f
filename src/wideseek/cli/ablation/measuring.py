"""What a run is measured by: the fixed questions before and after, and what its group asks besides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wideseek.cli.ablation.arms import ARMS, WIDTHS, Job
from wideseek.evals.ablation import DECODINGS, Measured

if TYPE_CHECKING:
    from wideseek.records import Task
    from wideseek.team import Team
    from wideseek.train.settings import MarlConfig


def probes(job: Job) -> list[tuple[str, Literal["wide", "deep"], int]]:
    """What is measured besides: name, kind of the questions, width."""
    widest = job.config.eval.width or max(job.config.widths)
    found: list[tuple[str, Literal["wide", "deep"], int]] = []
    if "width" in job.probes:
        found += [(f"width {width}", "wide", width) for width in WIDTHS]
    if "data" in job.probes:
        found.append(("short answers", "deep", widest))
    return found


async def measure_probes(job: Job) -> dict[str, Measured]:
    place = job.config.out / "evals"
    model = job.config.model if ARMS[job.arm].how == "none" else str(job.config.out / "model")
    return {
        name: await measure(job.config, model, place / name.replace(" ", "-"), kind, width)
        for name, kind, width in probes(job)
    }


async def measure(
    config: MarlConfig,
    model: str,
    place: Path,
    kind: Literal["wide", "deep"] | None = None,
    width: int | None = None,
) -> Measured:
    """Item F1 (`em` of short answers) of a model on fixed questions, as a training measures it.

    PLACE-greedy and PLACE-sampled are run folders: what is there is not asked again.
    """
    from wideseek.assembly import open_team
    from wideseek.budget import Budget
    from wideseek.cli.training import evaluation
    from wideseek.journal import Journal
    from wideseek.train.groups import at_width
    from wideseek.train.loop import at_temperature, team_config
    from wideseek.train.model import model_folder
    from wideseek.train.questions import drawn, read_tasks

    wanted = kind or config.eval.kind
    tasks = [task for task in read_tasks(config.eval.tasks) if wanted in (None, task.kind)]
    chosen = drawn(tasks, config.eval.limit, 0)
    evaluate: Callable[[Sequence[Task], Team, Path], Awaitable[dict[str, float]]] = evaluation(config)
    measured: Measured = {}
    async with open_team(team_config(config, model_folder(model)), Journal(), Budget()) as team:
        for name in DECODINGS:
            asked = at_width(team, width or config.eval.width or max(config.widths), config.seed)
            if name == "greedy":
                asked.policies = at_temperature(team.policies, 0.0)
            found = await evaluate(chosen, asked, place.with_name(f"{place.name}-{name}"))
            measured[name] = found["em" if wanted == "deep" else "item_f1"]
    return measured


def measurements(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Measured]]:
    """Steps at which the fixed questions were asked, and their item F1."""
    for line in lines:
        found = {name: line[key] for name in DECODINGS if (key := f"eval_{name}_item_f1") in line}
        if found:
            yield line["step"], found
