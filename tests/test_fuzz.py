"""Whatever a model says, a run ends in a known status, and its result can be written and shown."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from tests.faulty_server import FaultyServer
from tests.fuzz import Outputs
from tests.helpers import QUESTION, lighthouse_pages
from wideseek.api import Result, answer, ask_async, make_request
from wideseek.errors import PolicyError
from wideseek.export import write_result
from wideseek.outcome import EXIT_CODES
from wideseek.policy.base import Sampling, ToolSchema
from wideseek.records import Completion, Trajectory
from wideseek.terminal import show_agents, show_result, show_trajectory
from wideseek.tools.corpus import Corpus

LIMITS = {"lead__max_turns": 4, "sub__max_turns": 3, "lead__max_calls": 4}
KINDS = (".md", ".csv", ".json", ".xlsx", ".html")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "index"
    Corpus.build(lighthouse_pages(), folder)
    return folder


class Fuzzed:
    """A policy that says whatever `outputs` has next."""

    version = 0
    label = ""
    sampling = Sampling()
    name = "fuzz"

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs

    async def complete(self, trajectory: Trajectory, tools: Sequence[ToolSchema]) -> Completion:
        return self._outputs.completion(trajectory)

    async def close(self) -> None:
        return None


def use(result: Result, folder: Path, kind: str) -> None:
    """All that a user does with a result."""
    write_result(result, folder / f"table{kind}")
    console = Console(file=io.StringIO(), width=90)
    show_result(result, console)
    show_agents(result.rollout, console)
    for run in result.rollout.trajectories:
        show_trajectory(run, console)


async def fuzzed_runs(outputs: int, corpus: Path, folder: Path, seed: int = 0) -> Counter[str]:
    """Runs until so many outputs have been read, each written and shown in one of the ways. Returns their statuses."""
    statuses: Counter[str] = Counter()
    made = 0
    while made < outputs:
        number = seed + statuses.total()
        source = Outputs(number)
        columns = "name, height, year" if number % 3 == 0 else None
        model = "expert" if number % 7 == 0 else "http://127.0.0.1:9/v1#fuzz"  # who only lends its name
        request = make_request(QUESTION, columns=columns, options={**LIMITS, "model": model, "corpus": corpus})
        run_dir = folder / f"run-{number}" if number % 5 == 0 else None
        try:
            result = await answer(request, run_dir, load=lambda config: {"lead": Fuzzed(source)})  # noqa: B023
            use(result, folder, KINDS[number % len(KINDS)])
        except Exception as error:
            error.add_note(f"the outputs of seed {number}")
            raise
        statuses[result.status] += 1
        made += source.made
    return statuses


async def served_runs(outputs: int, corpus: Path, folder: Path, seed: int = 0) -> Counter[str]:
    """The same through the chat policy and a server, with calls in their native form and in the text."""
    statuses: Counter[str] = Counter()
    source = Outputs(seed)

    def said(request: dict[str, Any]) -> Any:
        message = source.message(request)
        whole = {"role": "assistant", **message}
        choice = {"index": 0, "finish_reason": whole.pop("finish_reason", "stop"), "message": whole}
        body = json.dumps(
            {"model": "m", "choices": [choice], "usage": whole.pop("usage", None)}
        )  # lone surrogates, too
        return web.Response(body=body.encode(), content_type="application/json")

    async with FaultyServer(said) as server:
        options = {
            "chat__backoff_s": 0.001,
            "chat__attempts": 5,
            "corpus": corpus,
            "model": f"{server.url}#m",
            **LIMITS,
        }
        while source.made < outputs:
            number = statuses.total()
            dialect = "text" if number % 4 == 0 else "native"
            try:
                result = await ask_async(QUESTION, chat__tool_calls=dialect, **options)
                use(result, folder, KINDS[number % len(KINDS)])
                statuses[result.status] += 1
            except PolicyError as error:  # a model that could not be understood from its first word on
                statuses["refused" if "\n" not in str(error) else str(error)] += 1
    return statuses


def assert_known(statuses: Counter[str]) -> None:
    assert set(statuses) <= {*EXIT_CODES, "refused"}, statuses
    assert {"failed", "partial"} <= set(statuses), statuses


async def test_whatever_a_model_says_ends_in_a_known_status(corpus, tmp_path):
    assert_known(await fuzzed_runs(200, corpus, tmp_path))
    assert_known(await served_runs(100, corpus, tmp_path))


@pytest.mark.slow
async def test_ten_thousand_outputs_end_in_known_statuses(corpus, tmp_path):
    seam = await fuzzed_runs(8_000, corpus, tmp_path, seed=1_000)
    served = await served_runs(2_000, corpus, tmp_path, seed=9)
    assert_known(seam)
    assert_known(served)
    print(f"on the seam {dict(seam)}, served {dict(served)}")
