"""What the commands print: foreign text in it cannot steer a terminal, whether there is one or a pipe."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

import wideseek
from tests.faulty_server import FaultyServer
from wideseek.api import Result
from wideseek.budget import Budget, Limits
from wideseek.cli import main
from wideseek.console import CleanConsole
from wideseek.evidence import Evidence
from wideseek.records import Completion, Message, Page, Rollout, Task, ToolCall, Trajectory, Turn, Usage
from wideseek.screen import plain
from wideseek.table import Table
from wideseek.terminal import LiveTree, PlainLines, show_agents, show_result, show_trajectory
from wideseek.tools.corpus import Corpus

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"]
UNSEEN = list("\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")
EVIL = "\x1b]0;t\x07\x1b[2J[red]" + "z".join([*CONTROLS, *UNSEEN]) + "z"
IN_A_NAME = EVIL.replace("\0", "").replace("/", "")[:60]  # what a file system takes
STYLES = re.compile(r"\x1b\[[\d;]*m")


class Stream(io.TextIOWrapper):
    """A terminal, or a pipe, that keeps what is printed."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode()


def run(*arguments: object, terminal: bool = False) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of a command."""
    out, err = Stream(terminal=terminal), Stream(terminal=terminal)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    return int(ended.value.code or 0), out.text, err.text


def check(text: str, *, terminal: bool) -> None:
    """No control but newline and tab, and on a terminal the styles that rich writes; no mark of direction."""
    shown = STYLES.sub("", text) if terminal else text
    assert plain(shown) == shown


def evil_run(text: str) -> Rollout:
    """A run in which all that a model, a page or a server can say is `text`."""
    call = ToolCall(text, text, {text: text}, malformed=text)
    said = Completion(text=text, reasoning=text, tool_calls=[call], ending=text, model=text)
    lead = Trajectory(role=text, path=text, stop="error", error=text, read=[text])
    lead.turns = [Turn([Message("user", text), Message("tool", text, error=True)], said)]
    sub = Trajectory(role="sub", path=f"{text}/1.1")
    sub.turns = [Turn([Message("user", text)], said)]
    return Rollout(task=Task(question=text), trajectories=[lead, sub], answer=text, error=text)


def evil_result(text: str, column: str) -> Result:
    table = Table([f"{column}{text}", text], [[text, f"value {text}"], ["a", "b"]])
    evidence = [[Evidence(level, text, text, text, text) for level in ("supported", "mentioned")] for _ in table.rows]
    told = {"question": text, "reason": text, "label": text, "notes": [text]}
    return Result(
        table=table,
        key=[text],
        evidence=evidence,
        rollout=evil_run(text),
        status="partial",
        usage=Usage(1),
        seconds=1.0,
        **told,
    )


class Watched:
    """A growing run, as progress displays see it."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout, self.budget = rollout, Budget(Limits())


hostile = st.text(alphabet=st.sampled_from([*CONTROLS, *UNSEEN, *"a[]|\n\t\\/=;m0"]), min_size=1, max_size=12)


@given(hostile, st.booleans(), st.sampled_from([30, 80, 200]))
def test_nothing_that_is_drawn_steers_the_terminal(text: str, terminal: bool, width: int) -> None:
    shown = Stream(terminal=False)
    console = CleanConsole(file=shown, force_terminal=terminal, color_system=None, width=width)
    watched: Any = Watched(evil_run(text))
    tree, lines = LiveTree(console), PlainLines(console)
    tree.watch(watched)
    console.print(tree)
    with lines:
        lines.watch(watched)
    show_agents(watched.rollout, console)
    for agent in watched.rollout.trajectories:
        show_trajectory(agent, console)
    show_result(evil_result(text, "x" * 40), console)
    show_result(evil_result(text, "n"), console)
    console.print(Text(text, style="bold"), text)
    check(shown.text, terminal=False)


def test_the_styles_that_rich_writes_stay() -> None:
    shown = Stream(terminal=True)
    CleanConsole(file=shown, force_terminal=True, color_system="standard").print(Text("a\x1b[2Jb", style="bold red"))
    assert shown.text == "\x1b[1;31ma\ufffd[2Jb\x1b[0m\n"


# ------------------------------------------------------------------------------------------------------------ commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, an index, tasks and responses that are hostile wherever they are foreign."""
    home = tmp_path_factory.mktemp("evil") / IN_A_NAME
    home.mkdir()
    Corpus.build(
        [Page(f"https://a.example/{EVIL}", f"Lights {EVIL}", f"lights {EVIL}\nheight: {EVIL}")], home / "index"
    )
    (home / "run").mkdir()
    (home / "run" / "rollout.json").write_bytes(msgspec.json.encode(evil_run(EVIL)))
    gold = Table([f"name{EVIL}", "n"], [[f"a{EVIL}", EVIL]]).to_markdown()
    task = {"instance_id": f"t{EVIL}", "question": f"Which {EVIL}?", "answer": gold, "split": "test"}
    rest = {**task, "instance_id": f"u{EVIL}"}
    (home / "tasks.jsonl").write_text(f"{json.dumps(task)}\n{json.dumps(rest)}\n")
    (home / "said.jsonl").write_text(json.dumps({"instance_id": task["instance_id"], "response": EVIL}) + "\n")
    (home / "broken.jsonl").write_text('{"instance_id": "' + EVIL.encode("unicode_escape").decode() + '", "answer": 1}')
    (home / "evil.toml").write_text(f"{json.dumps(EVIL)} = {json.dumps(EVIL)}\n".replace("\x7f", "\\u007f"))
    return home


Arguments = Callable[[Path], list[object]]
COMMANDS: dict[str, Arguments] = {
    "show": lambda home: ["show", home / "run"],
    "show an agent": lambda home: ["show", home / "run", EVIL],
    "show an unknown agent": lambda home: ["show", home / "run", f"no {EVIL}"],
    "search": lambda home: ["search", "lights", "--corpus", home / "index"],
    "search json": lambda home: ["search", "lights", "--corpus", home / "index", "--json"],
    "search for nothing": lambda home: ["search", "zebra", "--corpus", home / "index"],
    "tasks": lambda home: ["tasks", home / "tasks.jsonl"],
    "score": lambda home: ["score", home / "said.jsonl", "--tasks", home / "tasks.jsonl"],
    "score json": lambda home: ["score", home / "said.jsonl", "--tasks", home / "tasks.jsonl", "--json"],
    "audit": lambda home: ["audit", home / "tasks.jsonl", "--against", home / "tasks.jsonl"],
    "ask": lambda home: ["ask", f"Which lights {EVIL}?", "--model", "expert", "--corpus", home / "index"],
    "ask json": lambda home: ["ask", f"Lights {EVIL}?", "--model", "expert", "--corpus", home / "index", "--json"],
    "index": lambda home: ["index", home / "said.jsonl", "--out", home / "other"],
    "a broken file of tasks": lambda home: ["tasks", home / "broken.jsonl"],
    "a configuration": lambda home: ["ask", "Which?", "--config", home / "evil.toml"],
    "a setting": lambda home: ["ask", "Which?", "--set", f"{EVIL}=1"],
    "a model": lambda home: ["ask", "Which?", "--model", EVIL],
    "a command": lambda home: [EVIL],
    "an option": lambda home: ["ask", f"--{EVIL}"],
    "a missing run": lambda home: ["report", home / EVIL.replace("\0", "")],
    "a broken comparison": lambda home: ["compare", home, home / "run"],
    "a trace": lambda home: ["ask", "Which?", "--set", f"{EVIL}=1", "--debug"],
}


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_lets_foreign_text_steer_the_terminal(
    folder: Path, command: str, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    arguments = COMMANDS[command](folder)
    if arguments[0] in ("ask", "index") and terminal:
        arguments.append("--quiet")  # progress is redrawn by movements of rich's own
    _, out, err = run(*arguments, terminal=terminal)
    assert out + err
    check(out, terminal=terminal)
    check(err, terminal=terminal)


def test_json_keeps_every_text_as_it_was(folder: Path) -> None:
    _, out, _ = run("search", "lights", "--corpus", folder / "index", "--json")
    assert json.loads(out)["url"] == f"https://a.example/{EVIL}"
    _, out, _ = run("tasks", folder / "tasks.jsonl")
    assert json.loads(out.splitlines()[0])["instance_id"] == f"t{EVIL}"


def test_evaluations_studies_and_their_pages_print_clean_lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    asked = ["--model", "expert", "--corpus", folder / "index"]
    expert = ["--model", "expert", "--set", f"corpus={json.dumps(str(folder / 'index'))}"]
    runs = [folder / "eval-a", folder / "eval-b"]
    commands: list[list[object]] = [
        *(["eval", folder / "tasks.jsonl", *asked, "--out", out] for out in runs),
        ["compare", *runs],
        ["report", runs[0]],
        ["study", "width", "--values", "1", "--bench", folder / "tasks.jsonl", *expert, "--out", folder / "study"],
    ]
    for terminal in (False, True):
        for arguments in commands:
            code, out, err = run(*arguments, *(["-q"] if arguments[0] == "eval" else []), terminal=terminal)
            assert code != 2
            assert out
            check(out, terminal=terminal)
            check(err, terminal=terminal)


async def test_what_a_server_says_reaches_the_screen_clean(tmp_path: Path) -> None:
    answer = f"| name{EVIL} | n |\n|---|---|\n| a{EVIL} | {EVIL} |".replace("\n| a", "\n| a")

    def refuse(request: dict[str, Any]) -> web.Response:
        return web.json_response({"error": {"message": f"no {EVIL}"}}, status=400)

    for said in (lambda request: {"content": answer}, refuse):
        async with FaultyServer(said) as server:
            command = [
                sys.executable,
                "-m",
                "wideseek",
                "ask",
                f"Which {EVIL}?".replace("\0", ""),
                "--workflow",
                "single",
            ]
            command += ["--model", f"{server.url}#mock", "--run-dir", str(tmp_path / str(server.url[-9:-3]))]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, cwd=tmp_path, check=False, env={**os.environ}
            )
            assert done.stdout + done.stderr
            check(done.stdout.decode(), terminal=False)
            check(done.stderr.decode(), terminal=False)


def test_commands_print_in_one_place_only() -> None:
    package = Path(wideseek.__file__).parent
    printing = set()
    for path in [*(package / "cli").glob("*.py"), package / "terminal.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "click.echo",
                "click.secho",
                "Console",
            ):
                printing.add((path.name, ast.unparse(node.func)))
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout.buffer", "sys.stdout.write"):
                printing.add((path.name, ast.unparse(node)))
    assert printing == {("options.py", "click.echo"), ("options.py", "sys.stdout.buffer")}
