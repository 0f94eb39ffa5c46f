"""What the README, the examples and the pages of docs/ show is what happens: commands and code run as they stand.

Commands that need a model run against a local stand-in; the two make commands are what runs these tests.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shlex
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faulty_server import FaultyServer, team
from tests.helpers import lighthouse_pages
from wideseek.evidence import trace
from wideseek.records import Page, Rollout, Task, Trajectory, write_jsonl
from wideseek.table import Table

TESTS = Path(__file__).parent
ROOT = TESTS.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The README's commands, without the training, which takes hours (tests/test_train_sft.py trains)."""
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("wideseek")]
    lines = [line for line in lines if not line.startswith("wideseek train")]
    assert len(lines) > 5
    return lines


def named(line: str, option: str) -> list[str]:
    """What a command names after an option, or (with none) where no option stands before it."""
    words = shlex.split(line)
    return [word for before, word in pairwise(words) if (before == option if option else not before.startswith("-"))]


def needed(line: str) -> list[str]:
    """The commands of the README that make what `line` reads, in their order, each with what it needs itself."""
    read = {
        *named(line, "--corpus"),
        *(named(line, "") if line.startswith(("wideseek compare", "wideseek report")) else []),
    }
    makers = [maker for maker in commands() if maker != line and read & {*named(maker, "--out")}]
    return [each for maker in makers for each in (*needed(maker), maker)]


def small(line: str) -> str:
    """A command that prepares another, on two tasks: it has a test of its own as it stands."""
    return re.sub(r"--limit \d+", "--limit 2", line)


async def run(*command: str, cwd: Path, code: int = 0) -> str:
    environ = {**os.environ, "XDG_STATE_HOME": str(cwd), "OPENAI_API_KEY": "none"}
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=environ, stdout=-1, stderr=-1)
    out, error = await process.communicate()
    assert process.returncode == code, error.decode()
    return out.decode()


@pytest.mark.parametrize("line", commands())
async def test_every_wideseek_command_of_the_readme_works_after_those_that_it_needs(line, tmp_path):
    write_jsonl(tmp_path / "pages.jsonl", lighthouse_pages())
    async with FaultyServer(team()) as server:
        for each in (*map(small, needed(line)), line):
            local = re.sub(r"(?<=model )\S+", f"{server.url}#mock", each)
            code = 3 if local != each and " ask " in each else 0  # the stand-in reads no page: that is never complete
            said = await run(sys.executable, "-m", *shlex.split(local, comments=True), cwd=tmp_path, code=code)
            assert said.strip(), each
    for written in named(line, "--out"):
        file = tmp_path / written
        assert file.is_dir() or file.stat().st_size > (5_000 if file.suffix == ".xlsx" else 0)


def test_what_a_command_needs_is_made_by_the_commands_before_it():
    compare = next(line for line in commands() if line.startswith("wideseek compare"))
    assert [maker.split()[1] for maker in needed(compare)] == ["eval", "eval"]
    assert all(commands().index(maker) < commands().index(line) for line in commands() for maker in needed(line))


@pytest.mark.parametrize("code", blocks("python"))
async def test_the_readmes_python_runs(code, tmp_path):
    out = await run(sys.executable, "-c", code, cwd=tmp_path)
    assert "100% supported" in out


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
async def test_every_example_runs(example, tmp_path):
    assert await run(sys.executable, str(example), cwd=tmp_path)


def test_the_readmes_make_targets_and_linked_files_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", "\n".join(blocks("bash")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for link in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / link).exists(), link


def test_the_readmes_counts_of_the_pocket_world_are_the_worlds():
    from wideseek.assets import world_manifest

    counts = str(world_manifest())
    for number in re.findall(r"([\d,]+) (?:pages about|lists)", README):
        assert number.replace(",", "") in counts


# ------------------------------------------------------------------------------------------------------- other pages

PROMISES = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")


def test_every_test_that_the_promises_name_is_there():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PROMISES)
    assert len(named) > 50
    there = {
        (file.name, name)
        for file in TESTS.glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert not set(named) - there
    assert len(named) == len(re.findall(r"\btest_\w+\.py::", PROMISES)), "a name that is not read by this test"


def test_every_command_that_the_promises_name_is_there():
    from wideseek.cli import app

    scripts = re.findall(r"`(?:python )?((?:bench|tests)/\w+\.py)", PROMISES)
    assert {"bench/evidence.py", "bench/reach.py", "tests/points.py"} <= set(scripts)
    assert not [script for script in scripts if not (ROOT / script).is_file()]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert not [t for t in re.findall(r"`make ([\w-]+)`", PROMISES) if not re.search(rf"^{t}:", makefile, re.MULTILINE)]
    assert set(re.findall(r"`wideseek (\w+)", PROMISES)) <= set(app.commands)


def test_what_the_promises_and_the_page_on_evidence_link_to_is_there():
    for page in ("promises.md", "evidence.md", "architecture.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (ROOT / "docs" / link).exists(), link
        for module in re.findall(r"`((?:evidence|scoring|tools|reach)/\w+\.py)`", text):
            assert (ROOT / "src" / "wideseek" / module).is_file(), module


def test_the_floors_of_the_architecture_are_those_that_the_import_contract_checks():
    drawn = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    floors = [re.split(r" {2,}", line)[0].replace("/", "") for line in drawn.splitlines() if line[:1].strip()]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert floors == settings["tool"]["importlinter"]["contracts"][0]["layers"]


def evidence_examples() -> list[tuple[str, str, str, str]]:
    """(page, column, value, level) of the table of examples in docs/evidence.md."""
    text = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| (\w+) \|$", text, re.MULTILINE)
    assert len(found) > 15
    return found


@pytest.mark.parametrize(("text", "column", "value", "level"), evidence_examples())
def test_the_examples_of_evidence_are_what_the_check_says(text, column, value, level):
    page = Page("https://a.example/1", "Alpha", text.replace(" / ", "\n"))
    reader = Trajectory(role="lead", read=[page.url])
    rollout = Rollout(task=Task(question="q"), trajectories=[reader], pages={page.url: page})
    ((_, cell),) = trace(Table(["name", column], [["Alpha", value]]), ["name"], rollout)
    assert cell.status == level


def test_no_test_waits_for_a_time():
    """`sleep(0)` lets others run; every other time is that of a clock that a test moves."""
    waiting = [
        f"{file.name}:{call.lineno}"
        for file in TESTS.glob("test_*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == "sleep"
        if [ast.unparse(argument) for argument in call.args] != ["0"]
    ]
    assert waiting == []
