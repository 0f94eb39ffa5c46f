"""Whatever stands in a run folder, its readers end in a result or in one line: wrong bytes, types, files and links."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.helpers import LIGHTHOUSES, QUESTION, Model, lighthouse_pages, table, team
from wideseek.api import answer, ask, load_rollout, run
from wideseek.cli.asking import _resumed
from wideseek.errors import RunDirError, WideseekError
from wideseek.evals import Setup, load_run
from wideseek.evals.compare import compare
from wideseek.evals.folder import write_whole
from wideseek.evals.report import write_report
from wideseek.evals.run import evaluate
from wideseek.evals.study import Limits, Plan, load_study
from wideseek.evals.study_page import write_study
from wideseek.export import write_result
from wideseek.records import Task
from wideseek.terminal import show_agents, show_trajectory
from wideseek.tools.corpus import Corpus

GOLD = table(*(f"| {name} | {height} |" for name, (height, _) in LIGHTHOUSES.items()))
TASKS = [
    Task(instance_id="t0", question="Which lighthouses of Denmark are there?", answer=GOLD, unique_columns=["name"])
]
ASKED = ["run.json", "rollout.json", "journal.jsonl"]
POINT = "team-w1"
EVALUATED = ["eval.json", "tasks.jsonl", "rollouts.jsonl", "scores.jsonl", "details.jsonl", "pages.jsonl"]
EVALUATED += ["summary.json"]
EXAMPLES = 12
Damage = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ended run of `ask`."""
    corpus = tmp_path_factory.mktemp("corpus") / "index"
    Corpus.build(lighthouse_pages(), corpus)
    folder = tmp_path_factory.mktemp("asked") / "run"
    ask(QUESTION, model="expert", corpus=str(corpus), run_dir=folder)
    return folder


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study with one point, which is the folder of an evaluation."""
    folder = tmp_path_factory.mktemp("studied") / "study"
    run(_evaluated(folder / POINT))
    write_whole(folder / "study.json", Plan(Limits(10, 32_000), {"width": [1]}))
    return folder


async def _evaluated(folder: Path) -> None:
    await evaluate(TASKS, team(Model(lambda run: GOLD)), folder, Setup(bench="lighthouses", trials=1, model="model"))


# ------------------------------------------------------------------------------------------------------------- damage

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 10**12, 10**400]),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
DEEP = b"[" * 1000 + b"]" * 1000


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """A JSON value with another value at `place`; without it where `new` is `...`."""
    if not place:
        return None if new is ... else new
    (key, *rest), copy = place, value.copy()
    if new is ... and not rest:
        del copy[key]
    else:
        copy[key] = changed(value[key], tuple(rest), new)
    return copy


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Arbitrary bytes in the place of a file or of a part of it, or another value at any place of one of its records."""
    kind = draw(st.sampled_from(["all", "part", "deep", "value", "value", "value"]))
    where, width = draw(st.floats(0, 1)), draw(st.integers(0, 50))
    new, data = draw(st.one_of(st.just(...), VALUES)), draw(st.binary(max_size=50))

    def damage(before: bytes) -> bytes:
        start = int(where * len(before))
        if kind == "all" or not before:
            return data
        if kind == "part":
            return before[:start] + data + before[start + width :]
        lines = before.splitlines(keepends=True) if before.count(b'{"') > 1 and b"}\n{" in before else [before]
        number = int(where * (len(lines) - 1))
        if kind == "deep":
            lines[number] = DEEP + b"\n"
        else:
            record = json.loads(lines[number])
            found = places(record)
            lines[number] = json.dumps(changed(record, found[int(where * (len(found) - 1))], new)).encode() + b"\n"
        return b"".join(lines)

    return damage


def spoil(folder: Path, name: str, damage: Damage, scratch: Path) -> Path:
    """A copy of the folder in which one file is damaged."""
    copy = scratch / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    (copy / name).write_bytes(damage((copy / name).read_bytes()))
    return copy


# ------------------------------------------------------------------------------------------------------------ readers


def show(folder: Path) -> None:
    console, rollout = Console(file=io.StringIO()), load_rollout(folder)
    show_agents(rollout, console)
    for agent in rollout.trajectories:
        show_trajectory(agent, console)


def resume(folder: Path) -> None:
    run(answer(_resumed(None, folder, {}, trust=False), folder))


def go_on(folder: Path) -> None:
    run(_evaluated(folder / POINT))


def report(folder: Path) -> None:
    write_report(folder / POINT)


def compared(folder: Path) -> None:
    loaded = load_run(folder / POINT)
    compare(loaded, loaded, resamples=10)


def rollouts(folder: Path) -> None:
    for _ in load_run(folder / POINT).rollouts():
        pass


def studies(folder: Path) -> None:
    write_study(load_study(folder))


def ends_in_one_line(reader: Callable[[Path], None], folder: Path) -> None:
    said = "a result"
    try:
        reader(folder)
    except WideseekError as error:
        said = str(error)
    assert said
    assert "\n" not in said


@pytest.mark.parametrize("reader", [show, resume])
@pytest.mark.parametrize("name", ASKED)
def test_nothing_in_the_folder_of_a_run_is_a_traceback(asked, tmp_path_factory, reader, name):
    scratch = tmp_path_factory.mktemp("scratch")

    @given(damage=damages())
    @settings(max_examples=EXAMPLES)
    def holds(damage: Damage) -> None:
        ends_in_one_line(reader, spoil(asked, name, damage, scratch))

    holds()


@pytest.mark.parametrize("reader", [go_on, report, compared, rollouts, studies])
@pytest.mark.parametrize("name", [*(f"{POINT}/{name}" for name in EVALUATED), "study.json"])
def test_nothing_in_the_folder_of_an_evaluation_or_a_study_is_a_traceback(studied, tmp_path_factory, reader, name):
    if name == "study.json" and reader is not studies:
        return
    scratch = tmp_path_factory.mktemp("scratch")

    @given(damage=damages())
    @settings(max_examples=EXAMPLES)
    def holds(damage: Damage) -> None:
        ends_in_one_line(reader, spoil(studied, name, damage, scratch))

    holds()


# ---------------------------------------------------------------------------------------------- other things than files


def put_folder(path: Path) -> None:
    path.mkdir()


def put_loop(path: Path) -> None:
    path.symlink_to(path)


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize("put", [put_folder, put_loop, put_pipe, put_nothing])
@pytest.mark.parametrize("name", [*ASKED, *(f"{POINT}/{name}" for name in EVALUATED), "study.json"])
def test_what_is_no_file_in_a_run_folder_ends_in_one_line(asked, studied, tmp_path, put, name):
    source, readers = (asked, [show, resume]) if name in ASKED else (studied, [go_on, compared, rollouts, studies])
    for reader in readers:
        copy = tmp_path / reader.__name__
        shutil.copytree(source, copy)
        (copy / name).unlink()
        put(copy / name)
        ends_in_one_line(reader, copy)


# -------------------------------------------------------------------------------------------------------------- links


def linked(path: Path, victim: Path) -> None:
    path.unlink(missing_ok=True)
    victim.write_text("mine")
    path.symlink_to(victim)


@pytest.mark.parametrize("name", ["run.json", "rollout.json", "result.json", "journal.jsonl", "lock"])
def test_a_run_writes_through_no_link_in_its_folder(asked, tmp_path, name):
    folder, victim = tmp_path / "run", tmp_path / "victim"
    shutil.copytree(asked, folder)
    request = _resumed(None, folder, {}, trust=False)
    (folder / "run.json").unlink()
    linked(folder / name, victim)
    with pytest.raises(RunDirError, match=f"{name}: (is a link to .*victim.*remove the link|)"):
        run(answer(request, folder))
    assert victim.read_text() == "mine"
    assert (folder / name).is_symlink()


@pytest.mark.parametrize(
    "name",
    ["eval.json", "tasks.jsonl", "rollouts.jsonl", "scores.jsonl", "details.jsonl", "pages.jsonl", "lock"],
)
def test_an_evaluation_writes_through_no_link_in_its_folder(tmp_path, name):
    folder, victim = tmp_path / "run", tmp_path / "victim"
    folder.mkdir()
    linked(folder / name, victim)
    with pytest.raises(RunDirError):
        run(_evaluated(folder))
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", ["attempts", "attempts/00000-0"])
def test_an_evaluation_keeps_its_journals_in_no_linked_folder(tmp_path, name):
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / name).parent.mkdir(parents=True)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(RunDirError, match=f"{name}: is a link to .*elsewhere"):
        run(_evaluated(folder))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(("name", "reader"), [("report.html", report), ("summary.json", go_on)])
def test_a_page_or_a_summary_is_not_written_through_a_link(studied, tmp_path, name, reader):
    folder, victim = tmp_path / "study", tmp_path / "victim"
    shutil.copytree(studied, folder)
    linked(folder / POINT / name, victim)
    with pytest.raises(RunDirError, match=f"{name}: is a link to"):
        reader(folder)
    assert victim.read_text() == "mine"


def test_the_folder_itself_may_be_a_link_of_the_user(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    run(_evaluated(tmp_path / "run"))
    assert load_run(tmp_path / "disk").summary.scored == 1


def test_an_export_follows_the_users_link_but_none_inside_the_run_folder(asked, tmp_path):
    folder, victim = tmp_path / "run", tmp_path / "victim.md"
    shutil.copytree(asked, folder)
    result = run(answer(_resumed(None, folder, {}, trust=False), folder))
    for name in ("table.md", "table.csv", "table.sources.csv"):
        linked(folder / name, victim)
        with pytest.raises(RunDirError, match=f"{name}: is a link to"):
            write_result(result, (folder / name).with_name(name.replace(".sources", "")))
        assert victim.read_text() == "mine"
        (folder / name).unlink()
    linked(tmp_path / "named.md", victim)
    write_result(result, tmp_path / "named.md")
    assert victim.read_text() != "mine"
    write_result(result, folder / "table.md")
    assert (folder / "table.md").read_bytes() == victim.read_bytes()
