"""What the README and the examples show is what happens: their commands and code are run as they stand.

Commands that need a model run against a local stand-in; the two make commands are what runs these tests.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faulty_server import FaultyServer, team
from tests.helpers import lighthouse_pages
from wideseek.records import write_jsonl

ROOT = Path(__file__).parent.parent
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
