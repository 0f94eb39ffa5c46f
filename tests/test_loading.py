"""Loading a model that runs in this process: by several threads at once, and while the user or the time ends the run."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.clock import frozen, loop
from tests.helpers import Model
from wideseek.assembly import open_team
from wideseek.budget import Budget, Limits
from wideseek.concurrency import in_own_thread
from wideseek.config import Config
from wideseek.errors import BadInput
from wideseek.journal import Journal
from wideseek.policy.base import Policy
from wideseek.records import Task

THREE_AT_ONCE = """
import json, threading
from wideseek.assembly import open_policy
from wideseek.config import Config

start, said = threading.Barrier(3), []

def first_use():
    start.wait()
    try:
        said.append(open_policy("nano", Config()).name)
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")

threads = [threading.Thread(target=first_use) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(said))
"""

INTERRUPTED = """
import os, signal, sys, threading
from wideseek.cli import main
from wideseek.policy.local.engine import LocalEngine

def never_ends(*_, **__):
    print("loading", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()

LocalEngine.open = never_ends
main()
"""


def test_three_threads_that_use_the_bundled_model_first_and_at_once_all_get_it():
    made = subprocess.run([sys.executable, "-c", THREE_AT_ONCE], capture_output=True, text=True, check=True)
    assert json.loads(made.stdout) == ["nano"] * 3


class Blocked:
    """A loader that waits until it is released, on an event of its thread; `begun` is told on the event loop."""

    def __init__(self) -> None:
        self.begun, self.released = asyncio.Event(), threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, config: Config) -> dict[str, Policy]:
        self._loop.call_soon_threadsafe(self.begun.set)
        self.released.wait()
        return {"lead": Model(lambda run: "too late")}


async def test_time_that_runs_out_while_a_model_is_loaded_ends_the_run():
    load, budget = Blocked(), Budget(Limits(seconds=60), clock=frozen(loop()))

    async def ask() -> str:
        async with open_team(Config(model="expert"), Journal(), budget, load=load) as team:
            return (await team.solve(Task(question="Which capes are there?"))).stop

    asked = asyncio.ensure_future(ask())
    await load.begun.wait()
    loop().skip(60)
    assert await asked == "budget"
    load.released.set()


async def test_an_interrupt_while_a_model_is_loaded_ends_the_run():
    load, budget = Blocked(), Budget()

    async def ask() -> str:
        async with open_team(Config(model="expert"), Journal(), budget, load=load) as team:
            return (await team.solve(Task(question="Which capes are there?"))).stop

    asked = asyncio.ensure_future(ask())
    await load.begun.wait()
    budget.interrupt()
    assert await asked == "budget"
    load.released.set()


def test_ctrl_c_while_the_bundled_model_is_loaded_is_exit_code_130(tmp_path: Path):
    command = [sys.executable, "-c", INTERRUPTED, "ask", "List the capes of Denmark.", "--model", "nano"]
    ended = subprocess.run([*command, "--run-dir", tmp_path / "run"], capture_output=True, text=True, check=False)
    assert ended.returncode == 128 + signal.SIGINT, ended.stderr
    assert ended.stderr.splitlines() == [
        "loading",
        f"interrupted; go on with: wideseek ask --resume {tmp_path / 'run'}",
    ]


async def test_what_a_thread_of_its_own_raises_is_raised_where_it_is_awaited():
    def fails() -> None:
        raise BadInput("no such folder")

    with pytest.raises(BadInput, match="^no such folder$"):
        await in_own_thread(fails)
    assert await in_own_thread(lambda: 7) == 7
